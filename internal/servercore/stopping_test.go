package servercore_test

import (
	"log/slog"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A stopper stops its session as soon as the session queues its next output.
type stopper struct {
	client
	armed bool
}

func (s *stopper) Wake() {
	if s.armed {
		s.armed = false
		s.core.Stop()
	}
}

// A client that has just got its logon ack is told that the instance stops.
func TestStopRightAfterTheLogon(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		c := &stopper{client: client{s: s}}
		c.core = servercore.NewSession(s.inst, c, slog.New(slog.DiscardHandler), s.now)
		if !s.inst.Registry.Add(c.core, "") {
			s.t.Fatal("too many connections")
		}
		cmd := wire.LogonCommand{CommandID: "0", ClientName: "c", Acks: wire.AckProcessed, Ext: true}
		if err := c.core.Execute(s.message(&cmd), 0); err != nil {
			s.t.Fatal(err)
		}
		c.armed = true
		if err := c.core.Decide(s.now); err != nil {
			s.t.Fatal(err)
		}
		if c.armed {
			s.t.Fatal("nothing was queued")
		}
		if lines := c.out(); len(lines) != 3 || lines[2] != "end" {
			s.t.Errorf("got %q, want the answer, that the instance stops, and the end", lines)
		}
	})
}
