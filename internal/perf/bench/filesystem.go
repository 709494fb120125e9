package bench

import (
	"os"
	"path/filepath"
	"strings"
)

// fileSystem returns the type of the file system that holds dir, "unknown" if
// the system does not report it.
func fileSystem(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	longest, kind := -1, "unknown"
	for mount := range strings.Lines(string(text)) {
		fields := strings.Fields(mount)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/")
		if (dir == at || strings.HasPrefix(dir, at+"/")) && len(at) >= longest {
			longest, kind = len(at), fields[2]
		}
	}
	return kind
}
