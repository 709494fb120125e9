package servertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// DelayAcks delays acks but not messages, on open connections and on new ones.
func TestDelayAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		a := start(t, i.Client("app"))
		a.publish(1, 1)
		a.flush(0, time.Second)
		i.DelayAcks(time.Minute) // longer than the server's deadline for a write
		began := time.Now()
		a.publish(2, 3)
		sub, err := a.Subscribe(within(t, time.Minute), "orders", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range sub.Messages(within(t, time.Minute)) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("messages took %v", took)
		}
		a.flush(58*time.Second, time.Minute+time.Second)

		b := start(t, i.Client("other"))
		b.publish(1, 1)
		b.flush(time.Minute, time.Minute+time.Second)
		i.DelayAcks(0)
		b.publish(2, 2)
		b.flush(0, time.Second)
	})
}

// A delayed ack leaves even if the delay is longer than the server's deadline for a
// write, and the connection has no heartbeats.
func TestDelayedAckWithoutHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		nc, err := i.Dial(within(t, time.Second), "tcp", i.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		i.DelayAcks(time.Minute)
		b := (&wire.LogonCommand{CommandID: "1", ClientName: "raw", Acks: wire.AckProcessed}).AppendTo(nil)
		b = (&wire.PublishCommand{Topic: "orders", Sequence: 1, Acks: wire.AckPersisted}).AppendTo(b)
		began := time.Now()
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		r := wire.NewReader(nc, wire.MaxFrame)
		for _, want := range []time.Duration{0, time.Minute} {
			if frame, err := r.Next(); err != nil || time.Since(began) != want {
				t.Fatalf("read %q, %v after %v, want it after %v", frame, err, time.Since(began), want)
			}
		}
	})
}

// While acks are held back the server sends nothing else. The client must still see
// signs of life and keep its connection.
func TestDelayedAcksKeepTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		a := start(t, i.Client("app"))
		i.DelayAcks(10 * time.Second)
		for n := range 100 {
			a.publish(n, n)
			time.Sleep(time.Second / 10)
		}
		a.flush(9*time.Second, 11*time.Second)
		if n := a.Stats().Logons; n != 1 {
			t.Errorf("connected %d times", n)
		}
	})
}

// Delayed acks keep their order. Later acks wait behind them.
func TestDelayedAcksKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		i.Intercept(orders(map[string]servertest.Action{"2": servertest.Reject("no")}))
		a := start(t, i.Client("app"))
		a.wantEvent(atA)
		i.DelayAcks(10 * time.Second)
		began := time.Now()
		a.publish(1, 2)
		time.Sleep(time.Second)
		i.DelayAcks(0)
		a.publish(3, 3)
		a.wantEvent("2 no")
		if took := time.Since(began); took < 10*time.Second {
			t.Errorf("got the failure after %v", took)
		}
		a.flush(0, time.Second)
	})
}

// A delayed ack is lost if the connection ends first. The client sends the messages
// again, and each is in the journals once.
func TestDelayedAcksAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		pair.A.DelayAcks(time.Hour)
		a.publish(1, 3)
		a.stayUnsafe(time.Minute)
		pair.A.Kill()
		a.wantEvent(atB)
		pair.A.Restart()
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		wantOrders(t, pair.B, "1", "2", "3")
	})
}
