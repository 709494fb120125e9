package fuseimages_test

import (
	"flag"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/proof/fuseimages"
)

var (
	minImages   = flag.Int("images", 0, "how many images TestImages judges at least, second lives included; 0: one script of each subject")
	seed        = flag.Uint64("seed", 1, "the seed of TestImages' first script")
	sampleEvery = flag.Int("share", 300, "one image of a power cut in so many is judged; 1: all")
)

// Every image that a crash of a store in a bbolt database may leave is
// recovered from, used, and recovered from again (G1, G6, R7).
func TestImages(t *testing.T) {
	// This process serves the pages that it maps. The collector must not stop
	// it while a thread waits for one, so it runs when none can, until the end.
	percent, threads := debug.SetGCPercent(-1), runtime.GOMAXPROCS(4)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(threads)
		debug.SetGCPercent(percent)
	})
	m, err := fuseimages.NewMount(t.TempDir())
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	var total crashimages.Count
	for s := *seed; !t.Failed() && total.Images+total.SecondLives < max(*minImages, 1); s++ {
		for _, subject := range []crashimages.Subject{fuseimages.PublishStore(m), fuseimages.Bookmarks(m, false), fuseimages.Bookmarks(m, true), fuseimages.Shared(m), fuseimages.Compacting(m)} {
			t.Run(subject.Name, func(t *testing.T) {
				c := crashimages.Campaign{Subject: subject, Seed: s, SampleEvery: *sampleEvery}
				forEachN(t, c.CrashBefore)
				for _, f := range crashimages.Faults {
					forEachN(t, func(n int) (bool, error) { return c.FailChange(n, f) })
				}
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
	for n := 1; ; n++ {
		more, err := f(n)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
		runtime.GC()
	}
}
