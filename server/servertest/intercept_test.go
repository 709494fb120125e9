package servertest_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// orders returns a function for Intercept. It returns the action for a publish
// by its body, each action once, and passes all other commands.
func orders(actions map[string]servertest.Action) func(servertest.Command) servertest.Action {
	var mu sync.Mutex
	return func(c servertest.Command) servertest.Action {
		mu.Lock()
		defer mu.Unlock()
		action, ok := actions[string(c.Body)]
		if c.Name != "publish" || !ok {
			return servertest.Pass
		}
		delete(actions, string(c.Body))
		return action
	}
}

func TestInterceptCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		seen := make(map[string]servertest.Command)
		var mu sync.Mutex
		i.Intercept(func(c servertest.Command) servertest.Action {
			mu.Lock()
			defer mu.Unlock()
			seen[c.Name] = c
			return servertest.Pass
		})
		a := start(t, i.Client("app"))
		a.publish(1, 2)
		a.receive(1, 2)
		time.Sleep(5 * time.Second)
		i.Intercept(nil)
		a.publish(3, 3)
		a.flush(0, time.Second)
		mu.Lock()
		defer mu.Unlock()
		p := seen["publish"]
		if p.Client != "app" || p.Publisher != i.PublisherID("app") || p.Topic != "orders" || p.Sequence != 2 || string(p.Body) != "2" {
			t.Errorf("publish: %+v", p)
		}
		s := seen["subscribe"]
		if s.Client != "app" || s.Topic != "orders" || s.ID == "" || s.SubID == "" || s.Bookmark != "0" || s.Options == "" {
			t.Errorf("subscribe: %+v", s)
		}
		if seen["logon"].Client != "app" || seen["heartbeat"].Client != "app" {
			t.Errorf("seen: %v", seen)
		}
	})
}

// A dropped publish leaves a hole before the next one, and the client sends it again.
// Other dropped commands get no answer.
func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		pair.Intercept(orders(map[string]servertest.Action{"2": servertest.Drop}))
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		a.publish(1, 2)
		a.stayUnsafe(time.Minute)
		wantOrders(t, pair.A, "1")
		a.publish(3, 3)
		a.flush(0, time.Minute)
		wantOrders(t, pair.A, "1", "2", "3")
		pair.AwaitConverged()

		pair.Intercept(func(c servertest.Command) servertest.Action {
			if c.Name == "subscribe" {
				return servertest.Drop
			}
			return servertest.Pass
		})
		if _, err := a.Subscribe(within(t, time.Minute), "orders"); !errors.Is(err, client.ErrTimeout) {
			t.Errorf("a swallowed subscribe: %v", err)
		}
	})
}

func TestDropLogon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		pair.A.Intercept(func(servertest.Command) servertest.Action { return servertest.Drop })
		began := time.Now()
		a := start(t, pair.Client("app"))
		a.wantEvent(atB)
		if took := time.Since(began).Round(time.Second); took != 3*time.Second {
			t.Errorf("continued after %v, want 3s, for which an instance waits for a logon", took)
		}
	})
}

func TestDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		pair.Intercept(orders(map[string]servertest.Action{"5": servertest.Disconnect}))
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		a.publish(1, 4)
		a.flush(0, time.Second)
		a.publish(5, 9)
		a.wantEvent(atB)
		a.flush(0, time.Minute)
		pair.AwaitConverged()
		a.receive(1, 9)
	})
}

// A rejected publish leaves a tombstone on both instances. Its publisher is told once,
// and can go on at either instance.
func TestRejectPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		pair.Intercept(orders(map[string]servertest.Action{"2": servertest.Reject("not today"), "4": servertest.Reject("")}))
		a := start(t, pair.Client("app"))
		a.wantEvent(atA)
		a.publish(1, 5)
		a.flush(0, time.Second)
		a.wantEvent("2 not today")
		a.wantEvent("4 rejected by the test")
		pair.AwaitConverged()
		wantOrders(t, pair.A, "1", "3", "5")
		wantOrders(t, pair.B, "1", "3", "5")
		pair.A.Kill()
		a.wantEvent(atB)
		a.publish(6, 6)
		pair.A.Restart()
		a.flush(0, time.Minute)
		if have := pair.B.Have(pair.PublisherID("app")); have != 6 {
			t.Errorf("b has %d", have)
		}
		if n := a.Stats().Publish.Rejected; n != 2 {
			t.Errorf("got %d rejections", n)
		}
		pair.A.Kill()
		if have := pair.A.Have(pair.PublisherID("app")); have != 6 {
			t.Errorf("on the disk of a is %d", have)
		}
	})
}

// A publish that the journal has already is a duplicate, even if the test rejects it.
func TestRejectDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		a := start(t, i.Client("app"))
		testdoor.Part[*memfs.FS](i).SetSyncDelay(time.Minute) // no acks, so that the client sends the orders again
		a.publish(1, 2)
		time.Sleep(time.Second)
		wantOrders(t, i, "1", "2")
		i.Intercept(func(c servertest.Command) servertest.Action {
			if c.Name == "publish" {
				return servertest.Reject("too late")
			}
			return servertest.Pass
		})
		a.publish(3, 3)
		i.ResetClients()
		a.flush(0, 10*time.Minute)
		a.wantEvent(atA)
		a.wantEvent(atA)
		a.wantEvent("3 too late")
		wantOrders(t, i, "1", "2")
		if n := a.Stats().Publish.Rejected; n != 1 {
			t.Errorf("%d rejected", n)
		}
	})
}

func TestRejectOtherCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		var mu sync.Mutex
		rejects := []string{"subscribe", "sow"}
		pair.B.Intercept(func(c servertest.Command) servertest.Action {
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(rejects, c.Name) {
				return servertest.Reject("not you, " + c.Client)
			}
			return servertest.Pass
		})
		a := start(t, pair.B.Client("app"))
		var refused *client.CommandError
		if _, err := a.Subscribe(within(t, time.Minute), "orders"); !errors.As(err, &refused) || refused.Reason != "not you, app" {
			t.Errorf("subscribe: %v", err)
		}
		for _, err := range a.Execute(within(t, time.Minute), client.Command{Name: "sow", Topic: "orders"}) {
			if refused = nil; !errors.As(err, &refused) || refused.Reason != "not you, app" {
				t.Errorf("sow: %v", err)
			}
		}
		mu.Lock()
		rejects = []string{"logon"}
		mu.Unlock()
		if _, err := client.Dial(within(t, 3*time.Second), pair.B.Client("other")); err == nil {
			t.Error("logged on")
		} else if refused = nil; !errors.As(err, &refused) || refused.Reason != "not you, other" {
			t.Errorf("logon: %v", err)
		}
	})
}

// A test can kill an instance at a certain command: f signals the test, and drops that
// command and all later ones.
func TestKillAtCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		arrived := make(chan struct{})
		var once sync.Once
		pair.A.Intercept(func(c servertest.Command) servertest.Action {
			if c.Sequence < 3 {
				return servertest.Pass
			}
			once.Do(func() { close(arrived) })
			return servertest.Drop
		})
		a := start(t, pair.Client("app"))
		a.publish(1, 5)
		<-arrived
		wantOrders(t, pair.A, "1", "2")
		pair.A.Kill()
		a.receive(1, 5)
	})
}
