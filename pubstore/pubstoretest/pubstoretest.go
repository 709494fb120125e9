// Package pubstoretest checks that a publish store keeps the contract of
// pubstore.Store: the stores of this project, and anyone's own.
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

// A Harness makes and ends stores of one kind. Each case gets one of its own.
// Stores that a case has not closed are closed when it ends.
type Harness struct {
	// Open opens a new, empty store.
	Open func(t *testing.T, o Options) pubstore.Store
	// Volatile says that the store keeps nothing when it is closed. The
	// other fields are not used then, and the cases that need them say so.
	Volatile bool
	// Reopen opens the store again that was s until it was closed.
	Reopen func(t *testing.T, s pubstore.Store) pubstore.Store
	// Kill opens what a new process finds if the one that holds s, which was
	// not closed, is killed now. If rebooted, it is on a machine that
	// has booted since. Of s only Close is called afterwards.
	Kill func(t *testing.T, s pubstore.Store, rebooted bool) pubstore.Store
}

// Options are the bound to open a store with; zero means the store's default.
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
	{"Numbering", with(testNumbering)},
	{"RoundTrip", with(testRoundTrip)},
	{"Cursor", with(testCursor)},
	{"CursorOwnsNothing", with(testCursorOwnsNothing)},
	{"Appended", with(testAppended)},
	{"Discard", with(testDiscard)},
	{"Reject", with(testReject)},
	{"Get", with(testGet)},
	{"Random", with(testRandom)},
	{"Large", with(testLarge)},
	{"TooLarge", with(testTooLarge)},
	{"Logon", with(testLogon)},
	{"Base", with(testBase)},
	{"Sent", with(testSent)},
	{"Renew", with(testRenew)},
	{"Usage", with(testUsage)},
	{"Closed", with(testClosed)},

	{"FullMessages", with(testFullMessages)},
	{"FullBytes", with(testFullBytes)},
	{"WaitForDiscard", bubble(testWaitForDiscard)},
	{"WaitForReject", bubble(testWaitForReject)},
	{"WaitCancelled", bubble(testWaitCancelled)},
	{"WaitClosed", bubble(testWaitClosed)},
	{"WaitInOrder", bubble(testWaitInOrder)},
	{"WaitMany", bubble(testWaitMany)},
	{"Age", bubble(testAge)},

	{"Concurrent", with(testConcurrent)},
	{"CursorBesideAppends", with(testCursorBesideAppends)},

	{"Reopen", durable(testReopen)},
	{"ReopenLives", durable(testReopenLives)},
	{"Kill", durable(testKill)},
	{"KillReject", durable(testKillReject)},
	{"KillWhileAppending", durable(testKillWhileAppending)},
	{"Rebooted", durable(testRebooted)},
	{"RebootedClosed", durable(testRebootedClosed)},
	{"RandomReopen", durable(testRandomReopen)},
}

func with(f func(*testing.T, Harness)) func(*testing.T, func(*testing.T) Harness) {
	return func(t *testing.T, newHarness func(t *testing.T) Harness) { f(t, newHarness(t)) }
}

func durable(f func(*testing.T, Harness)) func(*testing.T, func(*testing.T) Harness) {
	return func(t *testing.T, newHarness func(t *testing.T) Harness) {
		h := newHarness(t)
		if h.Volatile {
			t.Skip("this store keeps nothing when it is closed")
		}
		f(t, h)
	}
}

// A store wraps the one under test with calls that must succeed.
type store struct {
	pubstore.Store
	t *testing.T
}

func open(t *testing.T, h Harness, o Options) store {
	t.Helper()
	return guard(t, h.Open(t, o))
}

func guard(t *testing.T, s pubstore.Store) store {
	t.Cleanup(func() { s.Close() })
	return store{s, t}
}

// life returns the life that is appended to.
func (s store) life() pubstore.Life {
	s.t.Helper()
	lives := s.Lives()
	if len(lives) == 0 {
		s.t.Fatal("the store has no life")
	}
	return lives[len(lives)-1]
}

func body(n uint64) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }

// publish appends messages until last has the number given.
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

// A ref is what the cases below compare of a message: its number and the one it names before it.
type ref struct{ seq, prev uint64 }

// read reads to the end, checking bodies on the way.
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

// kept checks what a life still keeps above after: alternately a sequence and its predecessor.
func (s store) kept(life string, after uint64, want ...uint64) {
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

// rejected checks what the store says was rejected from from on.
func (s store) rejected(life string, from uint64, most int, want ...pubstore.Range) {
	s.t.Helper()
	if got := s.Rejected(life, from, most); !slices.Equal(got, want) {
		s.t.Fatalf("rejected from %d on: %v, want %v", from, got, want)
	}
}

// is checks the current life's numbers.
func (s store) is(acked, last uint64, kept int) {
	s.t.Helper()
	if l := s.life(); l.Acked != acked || l.Last != last || l.Kept != kept {
		s.t.Fatalf("life is %+v, want acked %d, last %d, kept %d", l, acked, last, kept)
	}
}

// soon returns a context that ends when the test does or takes far too long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	return ctx
}
