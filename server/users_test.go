package server_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// app connects a client of a user.
func app(t *testing.T, pair *servertest.Pair, name string, a client.Authenticator, configure ...func(*client.Config)) (*client.Client, error) {
	t.Helper()
	cfg := pair.Client(name)
	cfg.Authenticator = a
	for _, c := range configure {
		c(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

var (
	gateway = servertest.User{
		Name: "gateway", Password: "correct horse", ClientNames: []string{"^gateway-"},
		Publish: []string{"^orders/"}, Subscribe: []string{"^prices/"},
	}
	feed = servertest.User{Name: "feed", Password: "battery staple", Publish: []string{".*"}, Subscribe: []string{".*"}}
)

// Users log on with SCRAM or with the password itself at a pair with TLS, and only with the right
// password, a name that they may use, and a user that exists.
func TestUsersLogOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.TLS(servertest.NewCA(t)), servertest.Users(gateway, feed))
		for _, tt := range []struct {
			name string
			a    client.Authenticator
			want error
		}{
			{"gateway-1", client.SCRAM("gateway", "correct horse"), nil},
			{"gateway-2", client.Password("gateway", "correct horse"), nil},
			{"any", client.SCRAM("feed", "battery staple"), nil},
			{"gateway-3", client.SCRAM("gateway", "wrong"), client.ErrNotAuthenticated},
			{"gateway-4", client.Password("gateway", "battery staple"), client.ErrNotAuthenticated},
			{"gateway-5", client.SCRAM("nobody", "correct horse"), client.ErrNotAuthenticated},
			{"gateway-6", nil, client.ErrNotAuthenticated},
			{"other", client.SCRAM("gateway", "correct horse"), client.ErrNotEntitled},
		} {
			if _, err := app(t, pair, tt.name, tt.a); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
	})
}

// A message that its user may not publish is rejected on both instances alike, reaches the
// failed-write handler, and leaves no hole. The user gets no message of a topic that it may not
// subscribe to, whatever its subscription matches.
func TestUsersMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Users(gateway, feed))
		var rejected []error
		g, err := app(t, pair, "gateway-1", client.SCRAM("gateway", "correct horse"), func(c *client.Config) {
			c.Hooks.FailedWrite = func(e *client.RejectedError) { rejected = append(rejected, e) }
		})
		if err != nil {
			t.Fatal(err)
		}
		f, err := app(t, pair, "feed", client.SCRAM("feed", "battery staple"))
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"orders/1", "admin", "orders/2"} {
			if _, err := g.Publish(t.Context(), topic, []byte(topic)); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(rejected) != 1 || !errors.Is(rejected[0], client.ErrNotEntitled) {
			t.Errorf("rejected: %v", rejected)
		}
		if _, err := g.Subscribe(t.Context(), "orders/1"); !errors.Is(err, client.ErrNotEntitled) {
			t.Errorf("a subscribe to a topic that is not allowed: %v", err)
		}
		sub, err := g.Subscribe(t.Context(), ".*", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"orders/3", "prices/1", "prices/2"} {
			if _, err := f.Publish(t.Context(), topic, []byte(topic)); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for m, err := range sub.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Topic+" by "+m.UserID)
			m.Discard()
			if len(got) == 2 {
				break
			}
		}
		if want := []string{"prices/1 by feed", "prices/2 by feed"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A subscription to one topic ends when its user may not read the topic any more. One to a pattern
// goes on without its messages, which do not come later either.
func TestUsersMayNotAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Users(gateway, feed))
		g, err := app(t, pair, "gateway-1", client.SCRAM("gateway", "correct horse"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := app(t, pair, "feed", client.SCRAM("feed", "battery staple"))
		if err != nil {
			t.Fatal(err)
		}
		one, err := g.Subscribe(t.Context(), "prices/1", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		all, err := g.Subscribe(t.Context(), "^prices/", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		publish := func(topics ...string) {
			t.Helper()
			for _, topic := range topics {
				if _, err := f.Publish(t.Context(), topic, []byte(topic)); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.FlushSafe(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		less := gateway
		less.Subscribe = []string{"prices/2"}
		pair.SetUsers(less, feed)
		publish("prices/1", "prices/2")
		pair.SetUsers(gateway, feed)
		publish("prices/3")
		for _, err := range one.Messages(t.Context()) {
			if !errors.Is(err, client.ErrNotEntitled) {
				t.Errorf("the subscription to the topic: %v", err)
			}
			break
		}
		var got []string
		for m, err := range all.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, m.Topic); len(got) == 2 {
				break
			}
		}
		if want := []string{"prices/2", "prices/3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Users are changed while their clients are connected: a removed one is out within a second, and
// one that may do more does so without a new logon. Nothing is lost.
func TestUsersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Users(gateway, feed))
		g, err := app(t, pair, "gateway-1", client.SCRAM("gateway", "correct horse"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := app(t, pair, "feed", client.SCRAM("feed", "battery staple"))
		if err != nil {
			t.Fatal(err)
		}
		more := gateway
		more.Publish = []string{".*"}
		pair.SetUsers(more)
		<-time.After(time.Second)
		for _, i := range []*servertest.Instance{pair.A, pair.B} {
			for _, s := range i.Server().Status().Sessions {
				if s.User == "feed" {
					t.Errorf("a second after its removal the user has a session at %s", i.Name())
				}
			}
		}
		if _, err := g.Publish(t.Context(), "admin", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := g.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Publish(t.Context(), "prices/1", []byte("kept")); err != nil {
			t.Fatal(err)
		}
		pair.SetUsers(more, feed)
		if err := f.FlushSafe(t.Context()); err != nil {
			t.Errorf("the messages of a user that is back: %v", err)
		}
	})
}

// A user that floods a server with messages that it may not publish is slowed down within a frame,
// too: each of them takes room in the journals.
func TestFloodOfRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Users(gateway, feed))
		var refused atomic.Int64
		g, err := app(t, pair, "gateway-1", client.SCRAM("gateway", "correct horse"), func(c *client.Config) {
			c.Hooks.FailedWrite = func(*client.RejectedError) { refused.Add(1) }
		})
		if err != nil {
			t.Fatal(err)
		}
		const messages, atOnce, perSecond = 1000, 100, 100
		for range messages {
			if _, err := g.Publish(t.Context(), "admin", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2 * time.Second)
		if n := refused.Load(); n < atOnce || n > atOnce+3*perSecond {
			t.Errorf("%d of %d messages were refused within two seconds", n, messages)
		}
		if err := g.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := refused.Load(); n != messages {
			t.Errorf("%d of %d messages were refused in the end", n, messages)
		}
	})
}
