package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// asks is an authenticator that asks as many questions as there are answers. The user of the last
// answer is the user.
type asks []string

func (a asks) Authenticate(ctx context.Context, l *server.Logon) (string, error) {
	for i, want := range a {
		if err := l.Challenge(ctx, "who", fmt.Sprint("question", i)); err != nil {
			return "", err
		}
		if l.Password != want {
			return "", errors.New("wrong answer")
		}
	}
	return l.User, nil
}

// rules are permissions that a test changes.
type rules struct {
	of atomic.Pointer[map[string]server.Permissions]
}

func (r *rules) Permissions(user string) (server.Permissions, bool) {
	p, ok := (*r.of.Load())[user]
	return p, ok
}

func (r *rules) Version() server.PermissionsVersion { return server.PermissionsVersion{} }

func (r *rules) set(of map[string]server.Permissions) *rules {
	r.of.Store(&of)
	return r
}

// secured starts an instance with an authenticator and permissions.
func secured(t *testing.T, a server.Authenticator, r server.Authorizer) *servertest.Instance {
	return servertest.New(t, servertest.Config(func(c *server.Config) { c.Authenticator, c.Authorizer = a, r }))
}

const logonJoe = `{"c":"logon","cid":"0","client_name":"x","user_id":"joe","pw":%q,"a":"processed"}`

func challenge(n int) string {
	return fmt.Sprintf(`{"c":"ack","cid":"0","a":"processed","status":"retry","user_id":"who","pw":"question%d","version":"5.3.5.0.holdfast-dev"}`, n)
}

const authFailure = `{"c":"ack","cid":"0","a":"processed","status":"failure","reason":"auth failure","version":"5.3.5.0.holdfast-dev"}`

// An authenticator may ask three times within the time of one logon. A wrong answer, another command
// instead of an answer, and a fourth challenge refuse the logon. Nothing but a logon is executed
// before.
func TestChallenges(t *testing.T) {
	for _, tt := range []struct {
		name    string
		asks    asks
		answers []string
		ok      bool
	}{
		{"none", nil, nil, true},
		{"one", asks{"1"}, []string{"1"}, true},
		{"three", asks{"1", "2", "3"}, []string{"1", "2", "3"}, true},
		{"wrong", asks{"1", "2"}, []string{"1", "x"}, false},
		{"four", asks{"1", "2", "3", "4"}, []string{"1", "2", "3"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := dial(t, secured(t, tt.asks, nil))
				c.send(fmt.Sprintf(logonJoe, ""))
				for n, answer := range tt.answers {
					c.expect(challenge(n))
					c.send(fmt.Sprintf(logonJoe, answer))
				}
				if !tt.ok {
					c.expect(authFailure)
					c.wantClosed()
					return
				}
				if m := c.message(); string(m.Status) != "success" {
					t.Errorf("%s %s", m.Status, m.Reason)
				}
				c.publish("orders", 1, 1)
				c.awaitPersisted(1, "")
			})
		})
	}
}

// Instead of an answer to a challenge no other command is executed.
func TestNoCommandInsteadOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, secured(t, asks{"1"}, nil))
		c.send(fmt.Sprintf(logonJoe, ""))
		c.expect(challenge(0))
		c.send(`{"c":"p","t":"orders","a":"processed","cid":"1"}`, "x")
		c.expect(`{"c":"ack","cid":"1","a":"processed","status":"failure","reason":"auth failure","version":"5.3.5.0.holdfast-dev"}`)
		c.wantClosed()
	})
}

// The whole logon has one deadline, however many challenges it has.
func TestDeadlineOfChallenges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := dial(t, secured(t, asks{"1", "2"}, nil))
		c.send(fmt.Sprintf(logonJoe, ""))
		c.expect(challenge(0))
		<-time.After(2 * time.Second)
		c.send(fmt.Sprintf(logonJoe, "1"))
		c.expect(challenge(1))
		c.wantClosed()
		if took := time.Since(began); took > 3200*time.Millisecond {
			t.Errorf("the connection stayed open for %v", took)
		}
	})
}

// Each wrong logon from one address waits longer for its answer. Another address does not wait.
func TestWrongLogonsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := secured(t, asks{"1"}, nil)
		var last time.Duration
		for n := range 8 {
			began := time.Now()
			c := dial(t, i)
			c.send(fmt.Sprintf(logonJoe, ""))
			c.expect(challenge(0))
			c.send(fmt.Sprintf(logonJoe, "wrong"))
			c.expect(authFailure)
			took := time.Since(began)
			if took < last || n == 7 && took < time.Second {
				t.Errorf("failure %d was told after %v, the one before after %v", n, took, last)
			}
			last = took
		}
	})
}

// A stop waits neither for the delayed refusal of a logon nor for an authenticator that takes long. Such
// a logon gets no answer, and does not count as a failure.
func TestStopDuringLogons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := secured(t, slow{asks{"1"}}, nil)
		wrong := func() *raw {
			c := dial(t, i)
			c.send(fmt.Sprintf(logonJoe, ""))
			c.expect(challenge(0))
			c.send(fmt.Sprintf(logonJoe, "wrong"))
			return c
		}
		for range 8 {
			c := wrong()
			c.expect(authFailure)
			c.conn.Close()
		}
		refused, asked := wrong(), dial(t, i)
		asked.send(fmt.Sprintf(logonJoe, "takes long"))
		synctest.Wait()
		failures, began := i.Server().Status().AuthFailures, time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- i.Server().Shutdown(context.Background()) }()
		for _, c := range []*raw{refused, asked} {
			c.wantClosed()
			c.conn.Close()
		}
		if err := <-stopped; err != nil || time.Since(began) > 50*time.Millisecond {
			t.Errorf("the stop took %v: %v", time.Since(began), err)
		}
		if n := i.Server().Status().AuthFailures; n != failures {
			t.Errorf("%d failures before the stop, %d after it", failures, n)
		}
	})
}

// slow is an authenticator that does not answer a logon with a certain password before its time is over.
type slow struct{ asks }

func (s slow) Authenticate(ctx context.Context, l *server.Logon) (string, error) {
	if l.Password == "takes long" {
		<-ctx.Done()
		return "", ctx.Err()
	}
	return s.asks.Authenticate(ctx, l)
}

// An address with failures may have a bounded number of logons at once. One that hangs up instead of
// an answer has not failed.
func TestLogonsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := secured(t, asks{"1"}, nil)
		begin := func() *raw {
			c := dial(t, i)
			c.send(fmt.Sprintf(logonJoe, ""))
			return c
		}
		for range 50 { // these hang up
			c := begin()
			c.expect(challenge(0))
			c.conn.Close()
		}
		<-time.After(time.Second)
		for range 3 {
			c := begin()
			c.expect(challenge(0))
			c.send(fmt.Sprintf(logonJoe, "wrong"))
			c.expect(authFailure)
		}
		for range 32 {
			begin().expect(challenge(0))
		}
		begin().expect(authFailure)
	})
}

// shared are permissions whose version two instances compare.
type shared struct {
	rules
	version atomic.Uint32
}

func (s *shared) Version() server.PermissionsVersion {
	n := s.version.Load()
	return server.PermissionsVersion{Number: uint64(n), Hash: [32]byte{byte(n)}}
}

// Different permissions on the instances of a pair do not end their link. After a minute both log the
// difference, and show it.
func TestDifferentPermissionsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, of := new(recording), map[string]*shared{"a": {}, "b": {}}
		pair := servertest.NewPair(t, logged(log), servertest.Config(func(c *server.Config) {
			c.Authenticator, c.Authorizer = asks(nil), of[c.Name]
		}))
		of["a"].version.Store(1)
		expect := func(after time.Duration, lines int, differ ...string) {
			t.Helper()
			<-time.After(after)
			if n := len(log.lines("peers have had other permissions")); n != lines {
				t.Errorf("%d lines, want %d, in\n%s", n, lines, log.buf.String())
			}
			var shown []string
			for _, i := range []*servertest.Instance{pair.A, pair.B} {
				st := i.Server().Status()
				shown = append(shown, st.Users.Differ...)
				if st.Links[0].State != "sync" {
					t.Errorf("the link is %s", st.Links[0].State)
				}
			}
			if !slices.Equal(shown, differ) {
				t.Errorf("the status shows %q, want %q", shown, differ)
			}
		}
		expect(50*time.Second, 0)
		expect(20*time.Second, 2, "b", "a")
		expect(time.Hour, 2, "b", "a")
		of["b"].version.Store(1)
		expect(10*time.Second, 2)
		if n := len(log.lines("the same permissions of users again")); n != 2 {
			t.Errorf("%d lines about the end in\n%s", n, log.buf.String())
		}
	})
}

// A change of permissions applies to open sessions at once, and to the next logon.
func TestPermissionsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := (&rules{}).set(map[string]server.Permissions{"joe": {}})
		i := secured(t, asks(nil), r)
		c := dial(t, i)
		c.send(fmt.Sprintf(logonJoe, ""))
		if m := c.message(); string(m.Status) != "success" {
			t.Fatalf("%s %s", m.Status, m.Reason)
		}
		r.set(map[string]server.Permissions{"joe": {Publish: func(topic []byte) bool { return string(topic) != "orders" }}})
		i.Server().PermissionsChanged()
		c.publish("orders", 1, 1)
		c.expect(`{"c":"ack","a":"persisted","s":1,"status":"failure","reason":"not entitled"}`)
		r.set(map[string]server.Permissions{"jim": {}})
		i.Server().PermissionsChanged()
		for {
			f, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if f == `{"c":"ack","a":"processed","status":"failure","reason":"auth failure: the user may not log on any more"}` {
				break
			}
		}
		c.wantClosed()
		c = dial(t, i)
		c.send(fmt.Sprintf(logonJoe, ""))
		c.expect(authFailure)
	})
}
