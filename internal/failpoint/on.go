//go:build failpoint

package failpoint

import (
	"os"
	"strings"
)

// on is the set of bugs to switch on. It is read once, since a test process runs with
// one set.
var on = func() map[Bug]bool {
	m := make(map[Bug]bool)
	for name := range strings.SplitSeq(os.Getenv("HOLDFAST_FAILPOINT"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			m[Bug(name)] = true
		}
	}
	return m
}()

// On reports whether the bug is switched on.
func On(b Bug) bool { return on[b] }
