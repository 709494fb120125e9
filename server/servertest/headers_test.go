package servertest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// messageWithHeaders returns message n. Some messages have headers, some have any bytes in them.
func messageWithHeaders(n int) *pubstore.Message {
	m := &pubstore.Message{Topic: "orders", Body: fmt.Append(nil, n)}
	if n%3 > 0 {
		m.Headers.Set("n", fmt.Sprint(n))
		m.Headers.Set("any", strings.Repeat("\x00\xff\"", n%7))
	}
	if n%5 == 0 {
		m.CorrelationID = fmt.Sprintf("%d of \xff\x00", n)
	}
	if n%20 == 0 {
		m.Body = append(m.Body, make([]byte, 80<<10)...) // too large for a batch or a stretch
	}
	return m
}

// Headers and correlation ids are the same on both instances, whichever the messages came to first,
// alone, in a batch or over the link, and after a failover.
func TestHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		cfg := pair.Client("app")
		cfg.StartOffline = true
		a := start(t, cfg)
		put := func(from, to int) {
			for n := from; n <= to; n++ {
				if _, err := a.PublishMessage(within(t, time.Minute), messageWithHeaders(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		put(1, 100) // sent as batches once the client is connected
		a.wantEvent(atA)
		a.flush(0, time.Minute)
		put(101, 150)
		pair.A.Kill() // some of these are sent again, to the other instance
		a.wantEvent(atB)
		put(151, 200)
		pair.A.Restart()
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		for _, i := range []*servertest.Instance{pair.A, pair.B} {
			checkHeaders(t, i, 200)
		}
	})
}

// checkHeaders reads the messages up to last from an instance.
func checkHeaders(t *testing.T, i *servertest.Instance, last int) {
	t.Helper()
	sub, err := start(t, i.Client("reader of "+i.Name())).Subscribe(within(t, time.Minute), "orders", client.From(client.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m, err := range sub.Messages(within(t, time.Minute)) {
		if err != nil {
			t.Fatalf("%s: %v", i.Name(), err)
		}
		n++
		want := messageWithHeaders(n)
		if string(m.Body) != string(want.Body) || string(m.Headers.Encoded()) != string(want.Headers.Encoded()) || m.CorrelationID != want.CorrelationID {
			t.Fatalf("%s: message %d is %.10q with headers %q and correlation id %q", i.Name(), n, m.Body, m.Headers.Encoded(), m.CorrelationID)
		}
		if n == last {
			return
		}
	}
}
