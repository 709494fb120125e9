// Package pubstoretest checks that an implementation of pubstore.Store keeps the contract of that
// interface. Run it in the tests of your own store:
//
//	func TestMyStore(t *testing.T) {
//		pubstoretest.Run(t, func(t *testing.T) pubstoretest.Harness { … })
//	}
package pubstoretest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Harness opens, reopens and kills stores of one kind. Each case gets its own Harness. Run
// closes the stores that a case leaves open when the case ends.
type Harness struct {
	// Open opens a new, empty store.
	Open func(t *testing.T, o Options) pubstore.Store
	// Volatile says that the store keeps nothing after Close. Run then skips the cases that need
	// Reopen or Kill.
	Volatile bool
	// Reopen opens the closed store s again.
	Reopen func(t *testing.T, s pubstore.Store) pubstore.Store
	// Kill returns the store that a new process opens if the process with the open store s is
	// killed now. If rebooted is true, the machine has booted in between. After Kill the suite
	// calls no method of s except Close.
	Kill func(t *testing.T, s pubstore.Store, rebooted bool) pubstore.Store
}

// Options are the bounds of a store under test. Zero means the store's default.
type Options struct {
	MaxMessages  int
	MaxBytes     int64
	FailWhenFull bool
}

// Run runs every case of the suite as a subtest.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, newHarness) })
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, newHarness func(t *testing.T) Harness)
}

var cases = []testCase{
	{"Numbering", withHarness(testNumbering)},
	{"RoundTrip", withHarness(testRoundTrip)},
	{"Cursor", withHarness(testCursor)},
	{"CursorOwnsNothing", withHarness(testCursorOwnsNothing)},
	{"Appended", withHarness(testAppended)},
	{"Discard", withHarness(testDiscard)},
	{"Reject", withHarness(testReject)},
	{"Get", withHarness(testGet)},
	{"Random", withHarness(testRandom)},
	{"Large", withHarness(testLarge)},
	{"TooLarge", withHarness(testTooLarge)},
	{"Logon", withHarness(testLogon)},
	{"PlainOffset", withHarness(testPlainOffset)},
	{"Sent", withHarness(testSent)},
	{"Renew", withHarness(testRenew)},
	{"Usage", withHarness(testUsage)},
	{"Closed", withHarness(testClosed)},

	{"FullMessages", withHarness(testFullMessages)},
	{"FullBytes", withHarness(testFullBytes)},
	{"WaitForDiscard", inBubble(testWaitForDiscard)},
	{"WaitForReject", inBubble(testWaitForReject)},
	{"WaitCancelled", inBubble(testWaitCancelled)},
	{"WaitClosed", inBubble(testWaitClosed)},
	{"WaitInOrder", inBubble(testWaitInOrder)},
	{"WaitMany", inBubble(testWaitMany)},
	{"Age", inBubble(testAge)},

	{"Concurrent", withHarness(testConcurrent)},
	{"CursorDuringAppends", withHarness(testCursorDuringAppends)},

	{"Reopen", ifDurable(testReopen)},
	{"ReopenLives", ifDurable(testReopenLives)},
	{"Kill", ifDurable(testKill)},
	{"KillReject", ifDurable(testKillReject)},
	{"KillWhileAppending", ifDurable(testKillWhileAppending)},
	{"Rebooted", ifDurable(testRebooted)},
	{"RebootedClosed", ifDurable(testRebootedClosed)},
	{"RandomReopen", ifDurable(testRandomReopen)},
}

func withHarness(f func(*testing.T, Harness)) func(*testing.T, func(*testing.T) Harness) {
	return func(t *testing.T, newHarness func(t *testing.T) Harness) { f(t, newHarness(t)) }
}

func ifDurable(f func(*testing.T, Harness)) func(*testing.T, func(*testing.T) Harness) {
	return func(t *testing.T, newHarness func(t *testing.T) Harness) {
		h := newHarness(t)
		if h.Volatile {
			t.Skip("this store keeps nothing when it is closed")
		}
		f(t, h)
	}
}

// A store wraps the store under test. Its methods fail the test on an error.
type store struct {
	pubstore.Store
	t *testing.T
}

func open(t *testing.T, h Harness, o Options) store {
	t.Helper()
	return wrap(t, h.Open(t, o))
}

func wrap(t *testing.T, s pubstore.Store) store {
	t.Cleanup(func() { s.Close() })
	return store{s, t}
}

// life returns the current life.
func (s store) life() pubstore.Life {
	s.t.Helper()
	lives := s.Lives()
	if len(lives) == 0 {
		s.t.Fatal("the store has no life")
	}
	return lives[len(lives)-1]
}

func body(n uint64) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

// publish appends messages until Last is last.
func (s store) publish(last uint64) {
	s.t.Helper()
	for n := s.life().Last + 1; n <= last; n++ {
		m := &pubstore.Message{Topic: "orders", Body: body(n)}
		seq, err := s.Append(context.Background(), m)
		if err != nil || seq != n || m.Sequence != n {
			s.t.Fatalf("Append = %d, %v, message has %d; want %d", seq, err, m.Sequence, n)
		}
	}
}

func (s store) discard(life string, through uint64) {
	s.t.Helper()
	if err := s.Discard(life, through); err != nil {
		s.t.Fatalf("Discard(%d): %v", through, err)
	}
}

func (s store) reject(life string, seq uint64) {
	s.t.Helper()
	if err := s.Reject(life, seq); err != nil {
		s.t.Fatalf("Reject(%d): %v", seq, err)
	}
}

func (s store) close() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatalf("Close: %v", err)
	}
}

func (s store) cursor(life string, after uint64) pubstore.Cursor {
	s.t.Helper()
	c, err := s.Cursor(life, after)
	if err != nil {
		s.t.Fatalf("Cursor after %d: %v", after, err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// A ref is the part of a message that the cases compare: its sequence and Prev.
type ref struct{ seq, prev uint64 }

// read reads to the end and checks the bodies.
func read(t *testing.T, c pubstore.Cursor) (refs []ref) {
	t.Helper()
	for {
		var m pubstore.Message
		ok, err := c.Next(&m)
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if !ok {
			return refs
		}
		if !bytes.Equal(m.Body, body(m.Sequence)) || m.Topic != "orders" {
			t.Fatalf("message %d is %q on %q", m.Sequence, m.Body, m.Topic)
		}
		refs = append(refs, ref{m.Sequence, m.Prev})
	}
}

// checkKept checks the messages of a life above after. want alternates sequence and Prev.
func (s store) checkKept(life string, after uint64, want ...uint64) {
	s.t.Helper()
	got := read(s.t, s.cursor(life, after))
	if len(got)*2 != len(want) {
		s.t.Fatalf("kept above %d: %v, want %v", after, got, want)
	}
	for i, r := range got {
		if r != (ref{want[2*i], want[2*i+1]}) {
			s.t.Fatalf("kept above %d: %v, want %v", after, got, want)
		}
	}
}

// checkRejected checks the result of Rejected from sequence from on.
func (s store) checkRejected(life string, from uint64, limit int, want ...pubstore.Range) {
	s.t.Helper()
	if got := s.Rejected(life, from, limit); !slices.Equal(got, want) {
		s.t.Fatalf("rejected from %d on: %v, want %v", from, got, want)
	}
}

// checkLife checks the numbers of the current life.
func (s store) checkLife(acked, last uint64, kept int) {
	s.t.Helper()
	if l := s.life(); l.Acked != acked || l.Last != last || l.Kept != kept {
		s.t.Fatalf("life is %+v, want acked %d, last %d, kept %d", l, acked, last, kept)
	}
}

// longContext returns a context that ends with the test, or after an hour.
func longContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}
