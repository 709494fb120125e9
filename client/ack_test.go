package client

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The reader looks before it sleeps when nothing is in flight any more, and
// not while there is something.
func TestLookout(t *testing.T) {
	cfg, err := Config{Servers: []string{"tcp://a:9007/amps/json"}}.validate()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cn := newConn(c, "a", nil)
	life := c.store.Lives()[0]
	c.out.expect(life, false)
	if _, err := c.out.begin(life, clientcore.LogonAnswer{Ext: true}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m := pubstore.Message{Topic: "orders"}
		if _, err := c.store.Append(context.Background(), &m); err != nil {
			t.Fatal(err)
		}
		c.out.write(m.Sequence, m.Size())
	}
	for sequence, want := range []time.Duration{0, 0, 50 * time.Microsecond} {
		if err := cn.persisted(&wire.Message{Sequence: uint64(sequence)}); err != nil {
			t.Fatal(err)
		}
		if cn.in.look != want {
			t.Errorf("acknowledged up to %d of 2: looks for %v, want %v", sequence, cn.in.look, want)
		}
	}
}
