package servercore_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// logonSent logs on as a life whose store states these numbers about the messages that it has sent.
func (s *harness) logonSent(counter, acked, sent, last, clock uint64) *client {
	s.t.Helper()
	c := s.connect()
	cmd := wire.LogonCommand{CommandID: "0", ClientName: "x", Acks: wire.AckProcessed, Ext: true,
		Store: "x", Counter: counter, Acked: acked, Last: last, Sent: sent, Clock: clock}
	if err := c.core.Execute(s.message(&cmd), 0); err != nil {
		s.t.Fatal(err)
	}
	if err := c.core.Decide(s.now); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Messages that a forgotten life may have sent are answered with a failure, even if the first
// answer is lost. The life continues after them (R10).
func TestForgottenLife(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		s.setGroupClock(ledger.GroupClock{Now: 20, Forgotten: 11})
		unknown := func(n int) string { return fmt.Sprintf("persisted failure s=%d reason=outcome unknown", n) }
		s.logonSent(1, 3, 5, 7, 11) // its connection ends before it hears anything
		s.sync()
		p := s.logonSent(2, 3, 5, 7, 11)
		p.want(unknown(4), unknown(5), "processed success s=5 have=5")
		for _, n := range []uint64{4, 5} {
			if err := p.publish("a", n, "again"); err != nil {
				t.Fatal(err)
			}
		}
		p.publishAll("a", 6, 7)
		s.sync()
		p.want(unknown(4), unknown(5), "persisted success s=7")
		if have, _ := s.inst.Ledger.Have(bookmark.IdentityOfLife("x").ID); have != 7 {
			t.Errorf("have %d, want 7", have)
		}
	})
}

// More messages have an unknown outcome than a ledger lists as refused. A message that is not
// listed is not covered by the logon ack. It is refused when it is sent again.
func TestForgottenLifeWithManyUnknown(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		s.setGroupClock(ledger.GroupClock{Now: 20, Forgotten: 11})
		s.logonSent(1, 3, 2000, 2000, 11)
		s.sync()
		p := s.logonSent(2, 3, 2000, 2000, 11)
		got := p.out()
		if n := len(got); n != ledger.MaxTombstones+1 || got[n-1] != "processed success s=976 have=2000" {
			t.Fatalf("%d lines, the last is %q", n, got[n-1])
		}
		p.publishAll("a", 4, 5)
		p.want("persisted failure s=4 reason=outcome unknown", "persisted failure s=5 reason=outcome unknown")
	})
}

// A life that was last seen after every forgotten one continues with its next number. Its store is
// told the group's clock if no instance knew the life.
func TestUnknownLifeNotForgotten(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		s.setGroupClock(ledger.GroupClock{Now: 20, Forgotten: 11})
		p := s.logonSent(1, 0, 5, 7, 12)
		p.want("processed success s=0 have=0 clock=20")
		p.publishAll("a", 1, 2)
		s.sync()
		p.out()
		s.logonSent(2, 2, 5, 7, 12).want("processed success s=2 have=2")
	})
}
