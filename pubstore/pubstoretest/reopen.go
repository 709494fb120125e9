package pubstoretest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func testReopen(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	counter, err := s.Logon("gateway")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPlainOffset(life, 12345); err != nil {
		t.Fatal(err)
	}
	if err := s.SetClock(life, 7); err != nil {
		t.Fatal(err)
	}
	s.publish(10)
	if got := s.life(); got.Sent != 10 {
		t.Fatalf("after a logon life is %+v, want everything to count as sent", got)
	}
	s.discard(life, 2)
	s.reject(life, 4)
	s.reject(life, 9)
	usage := s.Usage()
	s.SetSent(life, 8)
	s.close()

	s = wrap(t, h.Reopen(t, s.Store))
	if got := s.life(); got != (pubstore.Life{ID: life, Acked: 2, Last: 10, Kept: 6, PlainOffset: 12345, Clock: 7, Sent: 8}) {
		t.Fatalf("life is %+v after a clean close", got)
	}
	if u := s.Usage(); u.Messages != usage.Messages || u.Bytes != usage.Bytes {
		t.Fatalf("usage is %+v, was %+v", u, usage)
	}
	s.checkKept(life, 0, 3, 2, 5, 3, 6, 5, 7, 6, 8, 7, 10, 8)
	if m, err := s.Get(life, 5); err != nil || string(m.Body) != `{"n":5}` {
		t.Fatalf("Get(5) = %+v, %v", m, err)
	}
	if _, err := s.Logon("other"); !errors.Is(err, pubstore.ErrNameMismatch) {
		t.Fatalf("Logon under another name: %v", err)
	}
	if n, err := s.Logon("gateway"); err != nil || n <= counter {
		t.Fatalf("Logon = %d, %v; before it was closed %d", n, err, counter)
	}
	s.publish(11)
	s.discard(life, 11)
	s.close()

	s = wrap(t, h.Reopen(t, s.Store))
	s.checkLife(11, 11, 0)
	s.publish(12)
	s.checkKept(life, 0, 12, 11)
}

func testReopenLives(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	old := s.life().ID
	s.publish(3)
	s.renew()
	life := s.life().ID
	s.publish(2)
	s.close()

	s = wrap(t, h.Reopen(t, s.Store))
	if lives := s.Lives(); len(lives) != 2 || lives[0].ID != old || lives[1].ID != life {
		t.Fatalf("lives are %+v, want %s and %s", lives, old, life)
	}
	s.checkKept(old, 0, 1, 0, 2, 1, 3, 2)
	s.checkKept(life, 0, 1, 0, 2, 1)
	s.discard(old, 3)
	s.close()

	s = wrap(t, h.Reopen(t, s.Store))
	if lives := s.Lives(); len(lives) != 1 || lives[0].ID != life {
		t.Fatalf("lives are %+v, want %s alone", lives, life)
	}
}

func testKill(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	counter, err := s.Logon("gateway")
	if err != nil {
		t.Fatal(err)
	}
	s.publish(6)
	s.discard(life, 2)
	if err := s.SetPlainOffset(life, 777); err != nil {
		t.Fatal(err)
	}
	s.publish(8)

	k := wrap(t, h.Kill(t, s.Store, false))
	l := k.life()
	if len(k.Lives()) != 1 || l.ID != life || l.Last != 8 || l.PlainOffset != 777 {
		t.Fatalf("lives are %+v after a kill, want %s with 8 messages and base 777", k.Lives(), life)
	}
	// The store may still have discarded messages, but must have all others.
	if l.Acked > 2 || l.Kept != int(8-l.Acked) {
		t.Fatalf("life is %+v, want at most 2 acked and the others kept", l)
	}
	k.checkKept(life, 2, 3, 2, 4, 3, 5, 4, 6, 5, 7, 6, 8, 7)
	if n, err := k.Logon("gateway"); err != nil || n <= counter {
		t.Fatalf("Logon = %d, %v; before the kill %d", n, err, counter)
	}
	k.publish(9)
	k.checkKept(life, 7, 8, 7, 9, 8)
}

func testKillReject(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	s.publish(4)
	s.reject(life, 2)
	s.close()
	s = wrap(t, h.Reopen(t, s.Store))
	s.publish(5)
	k := wrap(t, h.Kill(t, s.Store, false))
	k.checkKept(life, 0, 1, 0, 3, 1, 4, 3, 5, 4)
}

// testKillWhileAppending kills the process between appends of several goroutines. Every message
// whose Append had returned by then must be in the store.
func testKillWhileAppending(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	var wg sync.WaitGroup
	var returned atomic.Uint64
	enough := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for range 40 {
				seq, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders"})
				if err != nil {
					return // the process was killed
				}
				for old := returned.Load(); old < seq && !returned.CompareAndSwap(old, seq); old = returned.Load() {
				}
				if seq == 50 {
					close(enough)
				}
			}
		})
	}
	<-enough
	// Appends return out of order, but every message before a returned one is in the store.
	minLast := returned.Load()
	k := wrap(t, h.Kill(t, s.Store, false))
	wg.Wait()
	if l := k.life(); l.ID != life || l.Last < minLast || l.Kept != int(l.Last) {
		t.Fatalf("life is %+v after a kill, want at least %d", l, minLast)
	}
}

func testRebooted(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	old := s.life().ID
	s.publish(3)
	s.close()
	s = wrap(t, h.Reopen(t, s.Store)) // the messages are certainly on the disk now
	s.publish(4)

	k := wrap(t, h.Kill(t, s.Store, true))
	lives := k.Lives()
	if len(lives) != 2 || lives[0].ID != old || lives[1].ID == old || lives[1].Last != 0 {
		t.Fatalf("lives are %+v after a boot, want %s and a new one", lives, old)
	}
	life := lives[1].ID
	if kept := read(t, k.cursor(old, 0)); len(kept) < 3 {
		t.Fatalf("the old life keeps %v, want at least 1 to 3", kept)
	}
	k.publish(1)
	k.discard(old, 4)
	if lives := k.Lives(); len(lives) != 1 || lives[0].ID != life {
		t.Fatalf("lives are %+v: the old one keeps no message and was not removed", lives)
	}
	k.checkKept(life, 0, 1, 0)
}

func testRebootedClosed(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	s.publish(1)
	k := wrap(t, h.Kill(t, s.Store, true))
	life := k.life().ID
	k.close()
	k = wrap(t, h.Reopen(t, k.Store))
	if got := k.life().ID; got != life {
		t.Fatalf("a store that was closed begins life %s, was %s", got, life)
	}
}
