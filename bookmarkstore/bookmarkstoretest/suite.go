// Package bookmarkstoretest checks that an implementation of bookmarkstore.Store keeps the contract
// of that interface: a subscription resumes from the right vector within a process, after Close, and
// after a kill of the process, so that no message is missed or repeated. Run it in the tests of your
// own store:
//
//	func TestMyStore(t *testing.T) {
//		bookmarkstoretest.Run(t, bookmarkstoretest.Harness{New: func(t *testing.T) bookmarkstoretest.Disk { … }})
//	}
package bookmarkstoretest

import (
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// A Disk holds the store of one test.
type Disk interface {
	// Open opens the store on the disk.
	Open() (bookmarkstore.Store, error)
	// Kill ends a store as a kill of its process would. The next Open finds the data that is
	// durable now. For a store that keeps nothing after Close, Kill may do nothing.
	Kill(s bookmarkstore.Store) error
}

// A Harness gives Run the stores to test.
type Harness struct {
	// New returns an empty disk. It registers its cleanup with t.Cleanup.
	New func(t *testing.T) Disk
	// Volatile says that the store keeps nothing after Close. Run then skips the tests that need
	// a durable store.
	Volatile bool
}

// Run runs every case of the suite as a subtest.
func Run(t *testing.T, h Harness) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, d Disk)
	}{
		{"duplicates are dropped", testDuplicates},
		{"discards in order", testDiscardInOrder},
		{"discards out of order", testDiscardOutOfOrder},
		{"discarding a message that is not outstanding", testDiscardNotOutstanding},
		{"marks", testMark},
		{"a mark waits for the messages before it", testMarkWaits},
		{"base", testBase},
		{"a base hides nothing", testBaseHidesNothing},
		{"known without a base", testKnownWithoutBase},
		{"forgotten publishers", testForgetPublishers},
		{"reset", testReset},
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
		t.Run("base after a message, "+e.String(), func(t *testing.T) { testKeptBeforeBase(t, h.New(t), e) })
		t.Run("forgotten publishers, "+e.String(), func(t *testing.T) { testKeptForgetPublishers(t, h.New(t), e) })
		t.Run("reset, "+e.String(), func(t *testing.T) { testKeptReset(t, h.New(t), e) })
		t.Run("another query, "+e.String(), func(t *testing.T) { testKeptOtherQuery(t, h.New(t), e) })
		t.Run("random, "+e.String(), func(t *testing.T) { testRandom(t, h.New(t), e) })
	}
}
