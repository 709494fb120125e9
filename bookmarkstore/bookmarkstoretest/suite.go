// Package bookmarkstoretest is the suite that every bookmarkstore.Store must
// pass: what a subscription resumes from covers exactly what it may
// (client/GUARANTEES.md R9), while its process lives, after it was closed,
// and after it was killed.
package bookmarkstoretest

import (
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// A Disk is where the store of one test lives.
type Disk interface {
	// Open opens the store with what is on the disk.
	Open() (bookmarkstore.Store, error)
	// Kill ends a store as the death of its process would: the next Open
	// finds what was durable by now. A store that keeps nothing over Close
	// need not do anything.
	Kill(s bookmarkstore.Store) error
}

// A Harness says how to get at the stores to be tested.
type Harness struct {
	// New returns an empty disk. What it needs, it cleans up by t.Cleanup.
	New func(t *testing.T) Disk
	// Volatile says that the store keeps nothing over Close: what is about
	// that is left out.
	Volatile bool
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, d Disk)
	}{
		{"duplicates are dropped", testDuplicates},
		{"discards in order", testDiscardInOrder},
		{"discards out of order", testDiscardOutOfOrder},
		{"discarding what is not outstanding", testDiscardNotOutstanding},
		{"progress", testProgress},
		{"progress waits for what is before it", testProgressWaits},
		{"base", testBase},
		{"a base hides nothing", testBaseHidesNothing},
		{"known without a base", testKnownWithoutBase},
		{"forgotten publishers", testForget},
		{"restart", testRestart},
		{"another query forgets", testOtherQuery},
		{"several subscriptions", testSeveral},
		{"ids", testIDs},
		{"in use", testInUse},
		{"release", testRelease},
		{"closed", testClosed},
		{"concurrent use", testConcurrent},
		{"random, released", func(t *testing.T, d Disk) { testRandom(t, d, released) }},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, h.New(t)) })
	}
	if h.Volatile {
		return
	}
	t.Run("base, killed at once", func(t *testing.T) { testBaseAtOnce(t, h.New(t)) })
	for _, e := range []ending{closed, killed} {
		t.Run("kept when "+e.String(), func(t *testing.T) { testKept(t, h.New(t), e) })
		t.Run("out of order, "+e.String(), func(t *testing.T) { testKeptOutOfOrder(t, h.New(t), e) })
		t.Run("base, "+e.String(), func(t *testing.T) { testKeptBase(t, h.New(t), e) })
		t.Run("base behind something, "+e.String(), func(t *testing.T) { testKeptBeforeBase(t, h.New(t), e) })
		t.Run("forgotten publishers, "+e.String(), func(t *testing.T) { testKeptForget(t, h.New(t), e) })
		t.Run("restart, "+e.String(), func(t *testing.T) { testKeptRestart(t, h.New(t), e) })
		t.Run("another query, "+e.String(), func(t *testing.T) { testKeptOtherQuery(t, h.New(t), e) })
		t.Run("random, "+e.String(), func(t *testing.T) { testRandom(t, h.New(t), e) })
	}
}
