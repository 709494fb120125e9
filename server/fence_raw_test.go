package server_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server/servertest"
)

// If two sessions of one name are on both sides of a cut, their notices cross when it heals. Both
// instances agree which session survives (R11, R15).
func TestNoticesCross(t *testing.T) {
	ext := func(life string, n int) string {
		return fmt.Sprintf(`{"c":"logon","cid":"0","client_name":"gw","a":"processed","ext":"1","store":%q,"n":%d,"acked":0}`, life, n)
	}
	for _, tt := range []struct {
		name    string
		onA     string
		onB     string
		winnerB bool
	}{
		{"one life, higher counter on b", ext("x", 2), ext("x", 3), true},
		{"one life, higher counter on a", ext("x", 3), ext("x", 2), false},
		{"two lives, larger on b", ext("x", 9), ext("y", 1), true},
		{"two lives, larger on a", ext("y", 1), ext("x", 9), false},
		{"two users: the smaller instance", `{"c":"logon","cid":"0","client_name":"gw","user_id":"joe","a":"processed"}`, `{"c":"logon","cid":"0","client_name":"gw","user_id":"jim","a":"processed"}`, false},
		{"plain: the smaller instance", `{"c":"logon","cid":"0","client_name":"gw","a":"processed"}`, `{"c":"logon","cid":"0","client_name":"gw","a":"processed"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := servertest.NewPair(t)
				pair.Partition()
				// The link is not known to be down yet: wait until it is.
				<-time.After(5 * time.Second)
				a, b := dial(t, pair.A), dial(t, pair.B)
				a.send(tt.onA)
				b.send(tt.onB)
				for _, c := range []*raw{a, b} {
					if m := c.message(); string(m.Status) != "success" {
						t.Fatalf("logon: %s %s", m.Status, m.Reason)
					}
				}
				pair.Heal()
				winner, loser := a, b
				if tt.winnerB {
					winner, loser = b, a
				}
				loser.conn.SetReadDeadline(time.Now().Add(time.Minute))
				f, err := loser.readFrame()
				if err != nil || string(f) != `{"c":"ack","a":"processed","status":"failure","reason":"name in use"}` {
					t.Fatalf("the loser got %s, %v", f, err)
				}
				loser.wantClosed()
				winner.wantSilence(time.Minute)
				winner.publish("orders", 1, 1)
				winner.awaitPersisted(1, "")
			})
		})
	}
}

// A name that a user has on one instance is refused to another user on the other instance, until it
// is free.
func TestNameOfAnotherUserElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		joe := dial(t, pair.A)
		joe.send(`{"c":"logon","cid":"0","client_name":"gw","user_id":"joe","a":"processed"}`)
		if m := joe.message(); string(m.Status) != "success" {
			t.Fatalf("logon: %s", m.Reason)
		}
		const jims = `{"c":"logon","cid":"0","client_name":"gw","user_id":"jim","a":"processed"}`
		jim := dial(t, pair.B)
		jim.send(jims)
		if m := jim.message(); string(m.Reason) != "name in use" {
			t.Errorf("another user got %s %q", m.Status, m.Reason)
		}
		jim.wantClosed()
		joe.wantSilence(time.Minute)
		joe.conn.Close()
		synctest.Wait()
		jim = dial(t, pair.B)
		jim.send(jims)
		if m := jim.message(); string(m.Status) != "success" {
			t.Errorf("logon with a free name: %s", m.Reason)
		}
	})
}
