package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Two processes of one name do not alternate: the later one is linked, the other one is refused
// with the reason, and log and status show it. When one has gone the other one is linked. A
// restart does not count as a second process.
func TestTwoOfOneName(t *testing.T) {
	for _, first := range []string{"a", "z"} { // the name whose connections stay when they cross
		t.Run(first, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, b := w.start(first, to("b")), w.start("b", to(first))
				w.linked(a, b)
				other := w.instance("b2", func(o *Options) { o.Name, o.Destinations = "b", []Destination{to(first)} })
				other.start()
				pass(20 * time.Second)
				if n := strings.Count(a.log.String(), "link is up"); n > 3 {
					t.Errorf("linked %d times", n)
				}
				if other.status(first).State != "sync" || b.status(first).State != "down" || !a.status("b").Rivals {
					t.Errorf("%+v\n%+v\n%+v", other.status(first), b.status(first), a.status("b"))
				}
				if !a.logged("level=ERROR", "two processes run under the name of a peer") || !strings.Contains(b.status(first).Reason, "two processes are named") {
					t.Errorf("not logged: %q", b.status(first).Reason)
				}
				other.close()
				pass(10 * time.Second)
				w.now("the first is linked again", func() bool { return up(a.status("b")) && up(b.status(first)) })
				pass(observationShown)
				if a.status("b").Rivals {
					t.Error("shown although one has gone")
				}
				for range 3 {
					b.kill(memfs.KeepAll)
					b.start()
					w.linked(a, b)
				}
				if a.status("b").Rivals {
					t.Error("a restart counts as a second process")
				}
			})
		})
	}
}
