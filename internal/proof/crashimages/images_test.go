package crashimages_test

import (
	"flag"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/testkit/detector"
)

var (
	minImages   = flag.Int("images", 0, "how many images TestImages judges at least, second lives included; 0: one script of each subject")
	seed        = flag.Uint64("seed", 1, "the seed of TestImages' first script")
	sampleEvery = flag.Int("share", 400, "one image of a power cut, and one damage at rest, in so many is judged; 1: all")
)

func init() {
	if detector.On {
		*sampleEvery *= 5 // unless the flag says how many
	}
}

var subjects = []crashimages.Subject{crashimages.Seglog, crashimages.File, crashimages.FileAlways, crashimages.FileCompacting, crashimages.Journal}

// Every image that a crash of a store or journal may leave is recovered from, used, and
// recovered from again: acknowledged records are there (G1, R7, R8). The disk dies before
// each change of a script. Each change also fails once: the store reports that for good,
// and then the disk dies.
func TestImages(t *testing.T) {
	// Much is made and dropped at once, and little is kept.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	begin := time.Now()
	var total crashimages.Count
	for s := *seed; !t.Failed() && total.Images+total.SecondLives < max(*minImages, 1); s++ {
		for _, subject := range subjects {
			t.Run(subject.Name, func(t *testing.T) {
				c := crashimages.Campaign{Subject: subject, Seed: s, SampleEvery: *sampleEvery}
				forEachN(t, c.CrashBefore)
				for _, f := range crashimages.Faults {
					forEachN(t, func(n int) (bool, error) { return c.FailChange(n, f) })
				}
				forEachN(t, c.FailRead)
				t.Logf("seed %d, %v", s, c.Count)
				total.Add(c.Count)
			})
		}
	}
	if !t.Failed() {
		t.Logf("%v (%.0f s)", total, time.Since(begin).Seconds())
	}
}

// each calls f with 1, 2, ... until it says that there is no more.
func forEachN(t *testing.T, f func(n int) (more bool, err error)) {
	t.Helper()
	more := true
	for n := 1; more; n++ {
		synctest.Test(t, func(t *testing.T) {
			var err error
			if more, err = f(n); err != nil {
				t.Fatal(err)
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
}
