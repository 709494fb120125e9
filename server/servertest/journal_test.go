package servertest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server/servertest"
)

// Messages and Have return the same while the instance runs, when it is closed or
// killed, and after a restart.
func TestJournalsOfStoppedInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		a := start(t, i.Client("app"))
		a.publish(1, 2)
		if _, err := a.Publish(within(t, time.Minute), "trades", []byte("x")); err != nil {
			t.Fatal(err)
		}
		a.flush(0, time.Second)
		publisher := i.PublisherID("app")
		want := []servertest.Message{
			{Publisher: publisher, Sequence: 1, Topic: "orders", Body: []byte("1")},
			{Publisher: publisher, Sequence: 2, Topic: "orders", Body: []byte("2")},
			{Publisher: publisher, Sequence: 3, Topic: "trades", Body: []byte("x")},
		}
		check := func(what string) {
			t.Helper()
			if got := i.Messages(""); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
			if have, other := i.Have(publisher), i.Have(1); have != 3 || other != 0 {
				t.Errorf("%s: has %d of the publisher, %d of nobody", what, have, other)
			}
			wantOrders(t, i, "1", "2")
		}
		check("running")
		i.Close()
		check("closed")
		i.Restart()
		i.AwaitReady()
		i.Kill()
		check("killed")
		i.Restart()
		i.AwaitReady()
		check("back")
	})
	synctest.Test(t, func(t *testing.T) {
		wantOrders(t, servertest.New(t, servertest.Unstarted()))
	})
}

// A client with a memory store is a new publisher after each start.
func TestPublisherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		a := start(t, pair.A.Client("app"))
		first := pair.PublisherID("app")
		a.publish(1, 1)
		a.flush(0, time.Second)
		a.Close()
		b := start(t, pair.B.Client("app"))
		b.publish(2, 3)
		b.flush(0, time.Second)
		second := pair.A.PublisherID("app")
		if pair.A.Have(first) != 1 || pair.B.Have(second) != 2 {
			t.Errorf("a has %d of the first life, b %d of the second", pair.A.Have(first), pair.B.Have(second))
		}
	})
}

func TestConverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		if err := pair.Converged(); err != nil {
			t.Errorf("empty journals: %v", err)
		}
		pair.B.Kill()
		a := start(t, pair.A.Client("app"))
		a.publish(1, 2)
		a.stayUnsafe(time.Second)
		err := pair.Converged()
		if want := fmt.Sprintf("publisher %d (app): a has 2 messages, b has 0", pair.PublisherID("app")); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		pair.B.Restart()
		pair.AwaitConverged()
	})
	synctest.Test(t, func(t *testing.T) {
		text := mustFail(t, func(ft servertest.T) {
			pair := servertest.NewPair(ft)
			a := start(t, pair.A.Client("app"))
			a.publish(1, 1)
			a.flush(0, time.Second) // the peer has answered the notice of the logon: no publish is held back
			pair.Partition()
			a.publish(2, 2)
			a.stayUnsafe(time.Second)
			pair.AwaitConverged()
		})
		if !strings.Contains(text, "waited 1m0s for both journals to hold the same: publisher") {
			t.Errorf("failed with %q", text)
		}
	})
}

// Clients and servers log to the test until it has ended. Clients that were not closed
// may log after that, which must not reach the test.
func TestVerbose(t *testing.T) {
	log := &recorder{Program: new(servertest.Program)}
	i := servertest.New(log, servertest.Verbose())
	logger := i.Client("app").Logger
	logger.Info("from the client")
	log.Close()
	if text := strings.Join(log.lines, "\n"); !strings.Contains(text, "instance=a") || !strings.Contains(text, "from the client") {
		t.Errorf("the log is\n%s", text)
	}
	during := len(log.lines)
	logger.Info("too late")
	if len(log.lines) != during {
		t.Errorf("logged after the end: %q", log.lines[during:])
	}
}

// A recorder keeps the log lines.
type recorder struct {
	*servertest.Program
	lines []string
}

func (r *recorder) Logf(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
