package images_test

import (
	"flag"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/images"
)

var (
	atLeast = flag.Int("images", 0, "how many images TestImages judges at least, second lives included; 0: one script of each subject")
	seed    = flag.Uint64("seed", 1, "the seed of TestImages' first script")
	only    = flag.String("only", "", "the one subject of TestImages; empty: all")
)

var subjects = []images.Subject{images.Seglog, images.File, images.FileAlways, images.Journal}

// Every image that a crash of a store or journal may leave is recovered from,
// used, and recovered from again: what was acknowledged is there (G1, R7, R8).
func TestImages(t *testing.T) {
	// Much is made and dropped at once, and little is kept.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	begin := time.Now()
	var total images.Count
	for s := *seed; total.Images+total.Second < max(*atLeast, 1); s++ {
		for _, subject := range subjects {
			if *only != "" && *only != subject.Name {
				continue
			}
			c := images.Campaign{Subject: subject, Seed: s}
			run(t, &c)
			t.Logf("%s, seed %d: %v", subject.Name, s, c.Count)
			total.Add(c.Count)
		}
	}
	t.Logf("%v (%.0f s)", total, time.Since(begin).Seconds())
}

// run lets the script of a campaign die at every change.
func run(t *testing.T, c *images.Campaign) {
	t.Helper()
	more := true
	for n := 1; more; n++ {
		synctest.Test(t, func(t *testing.T) {
			var err error
			if more, err = c.Die(n); err != nil {
				t.Fatal(err)
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
}
