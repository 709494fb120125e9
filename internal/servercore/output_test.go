package servercore_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
)

// A busyLedger runs a function, once, when the writer asks it for the status. So the test acts as
// the reader while output is being written.
type busyLedger struct {
	ledger.Ledger
	meanwhile func()
}

func (b *busyLedger) SyncStatus() syncstatus.Status {
	if do := b.meanwhile; do != nil {
		b.meanwhile = nil
		do()
	}
	return b.Ledger.SyncStatus()
}

// A persisted ack goes to the client after the failure of an earlier message and after the logon
// ack, even if these are queued while output is being written (R14).
func TestAckPassesNoFrame(t *testing.T) {
	l := memledger.New()
	b := &busyLedger{Ledger: l}
	s := newHarness(t, b, l.Sync)
	p := s.publisher("x")
	publish := func(seq uint64, body string) {
		t.Helper()
		if err := p.publish("a", seq, body); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, "1")
	s.sync()
	p.want("persisted success s=1")

	differs := func(next uint64) func() {
		return func() {
			publish(1, "another")
			publish(next, "next")
			s.sync()
		}
	}
	differs(2)()
	if out, more := p.core.FillAcks(nil, s.now); len(out) > 0 || !more {
		t.Errorf("%q, %v: a failure waits to be written", out, more)
	}
	p.want("persisted failure s=1 reason=duplicate with other content", "persisted success s=2")

	b.meanwhile = differs(3)
	p.want("persisted failure s=1 reason=duplicate with other content")
	p.want("persisted success s=3")

	p = s.connect()
	b.meanwhile = func() {
		if again, err := p.logon("y", "y", 1, 0); again || err != nil {
			t.Fatal(again, err)
		}
		publish(1, "1")
		s.sync()
	}
	p.want("processed success s=0 have=0")
	p.want("persisted success s=1")
}
