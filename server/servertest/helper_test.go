package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within returns a context that ends after d, or with the test.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// An app is an application with one client.
type app struct {
	*client.Client
	t      *testing.T
	events chan string // servers it connects to, rejected messages, downgrades
}

// start starts an application. It ends with the test.
func start(t *testing.T, cfg client.Config) *app {
	t.Helper()
	a := &app{t: t, events: make(chan string, 100)}
	cfg.Hooks.Connected = func(s client.ServerInfo) { a.events <- s.Server }
	cfg.Hooks.FailedWrite = func(e *client.RejectedError) { a.events <- fmt.Sprintf("%d %s", e.Message.Sequence, e.Reason) }
	cfg.Hooks.Downgraded = func(d bool) { a.events <- fmt.Sprintf("downgraded %v", d) }
	c, err := client.Dial(within(t, time.Minute), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a.Client = c
	return a
}

// wantEvent waits for the next event and fails the test unless it is the wanted one.
func (a *app) wantEvent(want string) {
	a.t.Helper()
	select {
	case got := <-a.events:
		if got != want {
			a.t.Fatalf("got event %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		a.t.Fatalf("no event %q", want)
	}
}

const atA, atB = "tcp://a:9007/amps/json", "tcp://b:9007/amps/json"

// publish publishes the orders numbered from to to.
func (a *app) publish(from, to int) {
	a.t.Helper()
	for n := from; n <= to; n++ {
		if _, err := a.Publish(within(a.t, time.Minute), "orders", fmt.Append(nil, n)); err != nil {
			a.t.Fatal(err)
		}
	}
}

// flush fails the test unless FlushSafe succeeds after least to most.
func (a *app) flush(least, most time.Duration) {
	a.t.Helper()
	began := time.Now()
	err := a.FlushSafe(within(a.t, time.Hour))
	if took := time.Since(began); err != nil || took < least || took > most {
		a.t.Fatalf("flushed after %v (%v), want %v to %v", took, err, least, most)
	}
}

// stayUnsafe fails the test unless messages are still not safe after d.
func (a *app) stayUnsafe(d time.Duration) {
	a.t.Helper()
	var unsettled *client.PendingError
	if err := a.FlushSafe(within(a.t, d)); !errors.As(err, &unsettled) {
		a.t.Fatalf("flush returns %v, want an UnsettledError", err)
	}
}

// receive reads the topic from the start and expects the orders numbered from to to.
func (a *app) receive(from, to int) {
	a.t.Helper()
	sub, err := a.Subscribe(within(a.t, time.Minute), "orders", client.From(client.Epoch))
	if err != nil {
		a.t.Fatal(err)
	}
	for m, err := range sub.Messages(within(a.t, time.Minute)) {
		if err != nil || string(m.Body) != fmt.Sprint(from) {
			a.t.Fatalf("got %s (%v), want %d", m.Body, err, from)
		}
		if from++; from > to {
			return
		}
	}
}

// wantOrders fails the test unless the journal of an instance holds exactly these orders.
func wantOrders(t *testing.T, i *servertest.Instance, numbers ...string) {
	t.Helper()
	var got []string
	for _, m := range i.Messages("orders") {
		got = append(got, string(m.Body))
	}
	if !slices.Equal(got, numbers) {
		t.Errorf("%s holds %q, want %q", i.Name(), got, numbers)
	}
}

// mustFail runs f, which must fail its test, and returns the text of the failure.
func mustFail(t *testing.T, f func(servertest.T)) string {
	t.Helper()
	failing := &failing{TB: t}
	var done sync.WaitGroup
	done.Go(func() { f(failing) })
	done.Wait()
	if failing.text == "" {
		t.Error("the test did not fail")
	}
	return failing.text
}

// A failing is a test that is expected to fail. It keeps the text of the failure.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
