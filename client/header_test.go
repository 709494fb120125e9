package client_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The longest topic that a store accepts reaches a subscriber, and so do the messages after it
// (R14).
func TestLargestHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := servertest.NewPair(t, servertest.Config(func(c *server.Config) { c.Limits.Topic = 16 << 10 }))
		c := start(t, p.Client("me"))
		sub, err := c.Subscribe(testContext(t), ".", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat(`"`, pubstore.MaxHeader/2)
		for _, topic := range []string{long, "orders"} {
			if _, err := c.Publish(testContext(t), topic, []byte("body")); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{long, "orders"} {
			for m, err := range sub.Messages(testContext(t)) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Topic != want {
					t.Errorf("topic of %d bytes, want %d", len(m.Topic), len(want))
				}
				if err := m.Discard(); err != nil {
					t.Error(err)
				}
				break
			}
		}
	})
}
