package servercore_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Each record of a session has its user, whatever its kind. So the user owns the publisher from its
// first record on.
func TestUserOfEachRecord(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		for life, tt := range map[string]struct {
			user  string
			acked uint64 // by the logon; 0: the first publish makes the first record
			topic string
		}{
			"message":   {"joe", 0, "a"},
			"tombstone": {"joe", 0, "none"},
			"empty":     {"joe", 0, "/AMPS/devnull"},
			"gone":      {"joe", 3, ""},
			"no user":   {"", 0, "a"},
		} {
			p := s.connect()
			if tt.user != "" {
				p.core.SetUser(tt.user)
			}
			logon := &wire.LogonCommand{CommandID: "0", ClientName: life, UserID: tt.user, Ext: true, Store: life, Counter: 1, Acked: tt.acked, Last: 10}
			if err := p.core.Execute(s.message(logon), 0); err != nil {
				t.Fatal(err)
			}
			if err := p.core.Decide(s.now); err != nil {
				t.Fatal(err)
			}
			if tt.topic != "" {
				if err := p.publish(tt.topic, 1, "1"); err != nil {
					t.Fatal(err)
				}
			}
			id := bookmark.IdentityOfLife(life).ID
			if have, _ := s.inst.Ledger.Have(id); have == 0 || s.inst.Ledger.Owner(id) != tt.user {
				t.Errorf("%s: have %d, owner %q, want %q", life, have, s.inst.Ledger.Owner(id), tt.user)
			}
		}
	})
}
