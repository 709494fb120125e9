package server_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A client cannot pose as another one. As the life of its store it may send the name of a client,
// or a life with the same protocol hash as a client's name or another life. The victim is not
// disturbed, and under its identity the journals have only its own messages.
func TestForgedLife(t *testing.T) {
	const life = "0f7a5b0e9d1c4c3e8a55f3d2"
	for _, tt := range []struct {
		name, forged string
		extended     bool
	}{
		{"a client's name", "victim", false},
		{"a life with the hash of a client's name", forge.Name("life ", "victim"), false},
		{"a life with the hash of another life", forge.Name("life ", life), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := servertest.NewPair(t)
				victim := dial(t, pair.A)
				id := bookmark.IdentityOfName("victim").ID
				if tt.extended {
					id = bookmark.IdentityOfLife(life).ID
					victim.logonExt("victim", life, 1, 0)
				} else {
					victim.logon("victim")
				}
				victim.publish("orders", 1, 3)
				victim.awaitPersisted(3, "")
				for n, i := range []*servertest.Instance{pair.A, pair.B} {
					forger := dial(t, i)
					ack, _ := forger.logonExt(fmt.Sprint("forger ", n), tt.forged, 1, 0)
					if string(ack.Status) != "success" {
						t.Fatalf("a forger is a client like any other: %s", ack.Reason)
					}
					forger.send(`{"c":"p","t":"orders","a":"persisted","s":4,"prev":0}`, "forged")
					forger.close()
				}
				victim.publish("orders", 4, 4)
				victim.awaitPersisted(4, "")
				for _, i := range []*servertest.Instance{pair.A, pair.B} {
					sequence := uint64(0)
					for _, m := range i.Messages("orders") {
						if m.Publisher != id {
							continue
						}
						if sequence++; m.Sequence != sequence || string(m.Body) != body(sequence) {
							t.Errorf("%s has %d: %s, want %d: %s", i.Name(), m.Sequence, m.Body, sequence, body(sequence))
						}
					}
					if sequence != 4 {
						t.Errorf("%s has %d messages of the victim, want 4", i.Name(), sequence)
					}
				}
			})
		})
	}
}

// If two client names have one hash, the second client is refused on either instance and told why,
// while the first is connected and after it has left.
func TestForgedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		forged := forge.Name("", "victim")
		refused := func(when string) {
			t.Helper()
			for _, i := range []*servertest.Instance{pair.A, pair.B} {
				c := dial(t, i)
				c.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":%q,"mt":"json","a":"processed","version":"1.0:raw"}`, forged))
				if m := c.message(); string(m.Status) != "failure" || string(m.Reason) != wire.ReasonPublisherIDTaken {
					t.Errorf("%s, on %s: %s %s", when, i.Name(), m.Status, m.Reason)
				}
				c.wantClosed()
			}
		}
		victim := dial(t, pair.A)
		victim.logon("victim")
		refused("before the first message")
		victim.publish("orders", 1, 1)
		victim.awaitPersisted(1, "")
		refused("after the first message")
		victim.close()
		refused("after it has left")
		victim = dial(t, pair.B)
		if s := victim.logon("victim"); s != 1 {
			t.Errorf("the victim continues after %d, want 1", s)
		}
		victim.publish("orders", 2, 2)
		victim.awaitPersisted(2, "")
	})
}
