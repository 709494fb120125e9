package servertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A pair with TLS works as one without: links, clients, failover, faults and interception.
func TestTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.TLS(servertest.NewCA(t)))
		pair.Intercept(orders(map[string]servertest.Action{"2": servertest.Reject("no")}))
		a := start(t, pair.Client("app"))
		a.wantEvent("tcps://a:9007/amps/json")
		a.publish(1, 3)
		a.wantEvent("2 no")
		a.flush(0, time.Second)
		pair.A.DelayAcks(3 * time.Second)
		a.publish(4, 5)
		a.flush(2*time.Second, 4*time.Second)
		pair.A.Kill()
		a.wantEvent("tcps://b:9007/amps/json")
		a.publish(6, 6)
		pair.A.Restart()
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		wantOrders(t, pair.A, "1", "3", "4", "5", "6")
		sub, err := a.Subscribe(t.Context(), "orders", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range sub.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 5 {
				break
			}
		}
	})
}
