package cluster

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Options say how many of the systems are run.
type Options struct {
	Every         int           // run one system in Every; default all
	Duration      time.Duration // and no longer; default until all are run
	MaxViolations int           // end after that many violations; default 1
	Only          string        // the one of that name
	From          string        // where to begin: a number, or anything for one made of it
}

// runOnly runs one system and reports its failures.
func (o Options) runOnly(t *testing.T, system func(tb testing.TB)) {
	t.Helper()
	for _, f := range bubble(t, system) {
		t.Error(f)
	}
}

// A sweep runs many small systems, each in a bubble of its own, as many at a time as
// there are cores, and gathers their failures.
type sweep struct {
	Options
	until time.Time // no other is begun after this; zero: all are run

	mu       sync.Mutex
	next     int       // guarded by mu
	ran      int       // guarded by mu
	failures []failure // guarded by mu
}

// A failure is a system that broke a promise.
type failure struct {
	at    int // it is the so manyth
	after int // number of systems run before
	found []string
}

func newSweep(o Options) *sweep {
	s := &sweep{Options: o}
	s.Every, s.MaxViolations = max(o.Every, 1), max(o.MaxViolations, 1)
	if o.Duration > 0 {
		s.until = time.Now().Add(o.Duration)
	}
	return s
}

// run runs system 0 to n-1, or up to where the sweep ends.
func (s *sweep) run(t *testing.T, n int, system func(tb testing.TB, i int)) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // they are small and soon gone
	t.Run("all", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for i := s.nextSystem(n); i >= 0; i = s.nextSystem(n) {
					s.record(i, bubble(t, func(tb testing.TB) { system(tb, i) }))
				}
			})
		}
	})
}

// nextSystem returns the next system to run, or -1.
func (s *sweep) nextSystem(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= n || len(s.failures) >= s.MaxViolations || !s.until.IsZero() && time.Now().After(s.until) {
		return -1
	}
	i := s.next
	s.next += s.Every
	return i
}

func (s *sweep) record(i int, found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(found) > 0 {
		s.failures = append(s.failures, failure{i, s.ran, found})
	}
	s.ran++
}

// report fails t with the failures, by the names of the systems.
func (s *sweep) report(t *testing.T, name func(i int) string) {
	t.Helper()
	for _, w := range s.failures {
		t.Errorf("%q, after %d others:\n%s", name(w.at), w.after, strings.Join(w.found, "\n"))
	}
}

// bubble runs a system in a bubble and returns its failures, which don't fail t: a
// thousand others are to run yet.
func bubble(t *testing.T, system func(tb testing.TB)) (found []string) {
	listener := &recordingTB{}
	defer func() {
		if p := recover(); p != nil {
			listener.Errorf("%v", p) // such as goroutines without an owner
		}
		found = listener.found
	}()
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if p := recover(); p != nil && p != gaveUp {
				listener.Errorf("panic: %v", p)
			}
		}()
		listener.TB = t
		system(listener)
	})
	return nil
}

// A recordingTB is a testing.TB that notes failures instead of failing.
type recordingTB struct {
	testing.TB

	mu    sync.Mutex
	found []string // guarded by mu
}

// gaveUp is the panic of a system that can't go on.
const gaveUp = "gave up"

func (l *recordingTB) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = append(l.found, fmt.Sprintf(format, args...))
}

func (l *recordingTB) Fatalf(format string, args ...any) {
	l.Errorf(format, args...)
	panic(gaveUp)
}

func (l *recordingTB) Fatal(args ...any) { l.Fatalf("%s", fmt.Sprint(args...)) }

func (l *recordingTB) Logf(format string, args ...any) { l.Errorf(format, args...) }

func (l *recordingTB) Failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.found) > 0
}
