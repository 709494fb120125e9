package servercore_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// If no instance knows a publisher, only an intact instance can say that the group never had any of
// its messages. Otherwise they may have been on a disk that is gone, and subscriptions are told so
// (R10).
func TestUnknownWhereNothingIsIntact(t *testing.T) {
	for _, tt := range []struct {
		name         string
		here, answer bool // this instance is intact, one that answers is
		lost         bool
	}{
		{"this instance is intact", true, false, false},
		{"one that has answered is", false, true, false},
		{"none is", false, false, true},
	} {
		for _, ext := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.name, ", extended ", ext), func(t *testing.T) {
				l := memledger.New()
				s := newHarness(t, l, l.Sync)
				l.SetGroup(memledger.GroupState{Grouped: true, NotIntact: !tt.here})
				c, publisher := s.connect(), bookmark.IdentityOfName("x")
				cmd := wire.LogonCommand{CommandID: "0", ClientName: "x", Acks: wire.AckProcessed}
				if ext {
					publisher = bookmark.IdentityOfLife("life of x")
					cmd.Ext, cmd.Store, cmd.Counter, cmd.Acked, cmd.Last = true, "life of x", 1, 6, 7
				}
				if err := c.core.Execute(s.message(&cmd), 0); err != nil {
					t.Fatal(err)
				}
				c.core.AddAnswers(ledger.Answers{AllAnswered: true, EnoughAnswered: true, Intact: tt.answer})
				if err := c.core.Decide(s.now); err != nil || c.core.Deciding() {
					t.Fatalf("%v, still waits: %v", err, c.core.Deciding())
				}
				if err := c.publish("a", 7, "7"); err != nil {
					t.Fatal(err)
				}
				s.sync()
				reader := s.publisher("reader")
				if err := reader.subscribe("1", "a", "0", "vector,bookmark_not_found=epoch"); err != nil {
					t.Fatal(err)
				}
				want := []string{"processed success sub=1", "1: 7"}
				if tt.lost {
					want = []string{"processed success sub=1", fmt.Sprintf("processed success sub=1 gap=%d|1|6", publisher.ID), "1: 7"}
				}
				reader.want(want...)
			})
		}
	}
}
