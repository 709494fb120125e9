package clientcore

import (
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// The bound on the messages that may have been sent is the bound of the store, raised by each
// message sent since. Messages that are only in the store do not raise it.
func TestSentIsBounded(t *testing.T) {
	lives := []pubstore.Life{{ID: "old", Acked: 1, Last: 4, Kept: 3, Sent: 4}, {ID: "x", Acked: 2, Last: 9, Kept: 7, Sent: 3}}
	s := NewSession(lives, 10, 1<<20, 0)
	states := func(sent uint64) {
		t.Helper()
		s.Logon("n", "", "", 1, nil)
		if c := s.Credentials("", ""); c.Sent != sent || c.Clock != s.life.Clock {
			t.Errorf("the logon states %d as possibly sent, want %d", c.Sent, sent)
		}
	}
	s.Connect("u", "u", lives[1:])
	states(3)
	s.pub.HandleLogon(s.life, LogonAnswer{Ext: true, Safe: 2, Have: 3})
	s.Reserve(3, []int{1})
	s.Reserve(4, []int{1})
	states(4)
	lives = append(lives, pubstore.Life{ID: "new", Last: 5})
	for i, want := range []uint64{4, 4, 0} {
		if got := s.Sent(lives[i]); got != want {
			t.Errorf("life %s: up to %d may have been sent, want %d", lives[i].ID, got, want)
		}
	}
}

// The store's clock rises only while the store keeps no message that may have been sent. It
// always falls if the server's clock is lower: that clock belongs to another group.
func TestClockRisesWhenNothingIsOutstanding(t *testing.T) {
	for _, tt := range []struct{ acked, sent, kept, reported, want uint64 }{
		{0, 0, 0, 7, 7},
		{0, 4, 0, 7, 7},
		{3, 3, 5, 7, 7},
		{3, 4, 5, 7, 0},
		{3, 4, 5, 2, 2},
		{3, 3, 5, 2, 2},
		{3, 3, 5, 5, 0},
		{3, 3, 5, 0, 0},
	} {
		l := pubstore.Life{ID: "x", Acked: tt.acked, Last: 9, Sent: tt.sent, Clock: tt.kept}
		p := NewPublisher([]pubstore.Life{l}, 10, 1<<20)
		p.BeginConnection(l, false)
		if b := p.HandleLogon(l, LogonAnswer{Ext: true, Safe: tt.acked, Have: tt.acked, Clock: tt.reported}); b.Clock != tt.want {
			t.Errorf("%+v: the store has to keep %d", tt, b.Clock)
		}
	}
}
