//go:build mut

package mut

import (
	"os"
	"strings"
)

// on is read once: a test process runs with one set of bugs.
var on = func() map[Bug]bool {
	m := make(map[Bug]bool)
	for name := range strings.SplitSeq(os.Getenv("HOLDFAST_MUT"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			m[Bug(name)] = true
		}
	}
	return m
}()

// On reports whether the bug is planted.
func On(b Bug) bool { return on[b] }
