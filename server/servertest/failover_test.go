package servertest_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// Orders that are published while a server dies arrive, once each.
func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		c, err := client.Dial(t.Context(), pair.Client("order-gateway"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		publish := func(from, to int) {
			for n := from; n <= to; n++ {
				if _, err := c.Publish(t.Context(), "orders", fmt.Append(nil, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		publish(1, 100)
		sub, err := c.Subscribe(t.Context(), "orders", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for m, err := range sub.Messages(t.Context()) {
			if n++; err != nil || string(m.Body) != fmt.Sprint(n) {
				t.Fatalf("got %s (%v), want order %d", m.Body, err, n)
			}
			if n == 50 {
				pair.A.Kill() // the client goes on at B
				publish(101, 200)
			}
			if n == 200 {
				break
			}
		}
		pair.A.Restart()
		pair.AwaitConverged() // both journals hold the same
	})
}
