package servercore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// only returns a permission for the given topics.
func only(topics ...string) func([]byte) bool {
	return func(topic []byte) bool { return slices.Contains(topics, string(topic)) }
}

// user connects a client of a user with permissions, and logs on with a life of the same name.
func (s *harness) user(name string, p *servercore.Permissions) *client {
	s.t.Helper()
	c := s.connect()
	c.core.SetUser(name)
	c.core.SetPermissions(p)
	if again, err := c.logon(name, name, 1, 0); again || err != nil {
		s.t.Fatal(again, err)
	}
	c.out()
	return c
}

// A publish that is not entitled leaves a tombstone, so that the numbers have no hole. The instance
// decides once: the message stays rejected when it is sent again with more permissions.
func TestPublishNotEntitled(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		c := s.user("u", &servercore.Permissions{Publish: only("a")})
		for i, topic := range []string{"a", "b", "a"} {
			if err := c.publish(topic, uint64(i+1), "x"); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		c.want("persisted success s=1", "persisted failure s=2 reason=not entitled", "persisted success s=3")
		c.core.SetPermissions(&servercore.Permissions{})
		if err := c.publish("b", 2, "x"); err != nil {
			t.Fatal(err)
		}
		c.want("persisted failure s=2 reason=not entitled")
		if err := c.publish("b", 4, "x"); err != nil {
			t.Fatal(err)
		}
		s.sync()
		c.want("persisted success s=4")
	})
}

// While a peer has other permissions, a publish that is not entitled ends the session and leaves
// nothing behind: the client keeps the message.
func TestPublishNotEntitledElsewhere(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		agree := false
		s.inst.MayReject = func(_, _ uint64) bool { return agree }
		denied := &servercore.Permissions{Publish: only("a")}
		c := s.user("u", denied)
		if err := c.publish("b", 1, "x"); err == nil {
			t.Error("the session goes on")
		}
		c.want("processed failure reason=permissions differ", "end")
		s.inst.Registry.Remove(c.core)
		agree = true
		c = s.user("u", denied)
		if err := c.publish("b", 1, "x"); err != nil {
			t.Fatal(err)
		}
		s.sync()
		c.want("persisted failure s=1 reason=not entitled", "persisted success s=1")
	})
}

// A publish that waits for the peers is decided by the permissions of the moment at which it goes into
// the ledger.
func TestHeldPublishNotEntitled(t *testing.T) {
	for _, revoked := range []bool{true, false} {
		l := memledger.New()
		s := newHarness(t, l, l.Sync)
		l.SetGroup(awaiting)
		before, after := &servercore.Permissions{}, &servercore.Permissions{Publish: only("b")}
		if !revoked {
			before, after = after, before
		}
		c := s.connect()
		c.core.SetUser("u")
		c.core.SetPermissions(before)
		if _, err := c.logon("u", "u", 1, 0); err != nil {
			t.Fatal(err)
		}
		if err := c.publish("a", 1, "x"); err != nil || !c.core.Deciding() {
			t.Fatalf("%v, waits: %v", err, c.core.Deciding())
		}
		c.core.SetPermissions(after)
		l.SetGroup(answered)
		if err := c.core.Decide(s.now); err != nil {
			t.Fatal(err)
		}
		if n := len(l.Tombstones(bookmark.IdentityOfLife("u").ID, 0)); n > 0 != revoked {
			t.Errorf("revoked %v: %d tombstones", revoked, n)
		}
	}
}

// A message that the ledger has is not rejected when a store that was rolled back sends it again and
// its user may not publish it any more. One with other content is.
func TestTakenByEarlierPermissions(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		c := s.user("u", &servercore.Permissions{})
		for n, body := range []string{"x", "y"} {
			if err := c.publish("b", uint64(n+1), body); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		s.inst.Registry.Remove(c.core)
		c = s.connect()
		c.core.SetUser("u")
		c.core.SetPermissions(&servercore.Permissions{Publish: only("a")})
		logon := &wire.LogonCommand{CommandID: "0", ClientName: "u", Ext: true, Store: "u", Counter: 2, Last: 1}
		if err := c.core.Execute(s.message(logon), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.core.Decide(s.now); err != nil {
			t.Fatal(err)
		}
		c.out()
		for n, body := range []string{"x", "z"} {
			if err := c.publish("b", uint64(n+1), body); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		got := c.out()
		for _, line := range got {
			if strings.HasPrefix(line, "persisted failure s=1") {
				t.Errorf("the message that is there is rejected: %q", got)
			}
		}
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "persisted failure s=2") }) {
			t.Errorf("other content is not rejected: %q", got)
		}
	})
}

// A subscription gets no message of a topic that its user may not have, in any way of delivery: from
// the log, live, for a fully durable subscription, and of a topic that is not logged. Marks move
// past such messages.
func TestDeliveryNotEntitled(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		pub := s.publisher("p")
		publish := func(topic string, sequence uint64) {
			if err := pub.publish(topic, sequence, fmt.Sprint(topic, sequence)); err != nil {
				t.Fatal(err)
			}
			s.sync()
		}
		for i, topic := range []string{"a", "b", "a", "b"} {
			publish(topic, uint64(i+1))
		}
		u := s.user("u", &servercore.Permissions{Subscribe: only("a", "unlogged1")})
		for _, topic := range []string{"b", "unlogged2"} {
			if err := u.subscribe("no", topic, "", ""); err != nil {
				t.Fatal(err)
			}
			u.want("processed failure sub=no reason=not entitled")
		}
		for id, options := range map[string]string{"log": "bookmark", "durable": "bookmark,fully_durable"} {
			if err := u.subscribe(id, ".*", "0", options); err != nil {
				t.Fatal(err)
			}
		}
		if err := u.subscribe("plain", ".*", "", ""); err != nil {
			t.Fatal(err)
		}
		got := u.out()
		for i, topic := range []string{"b", "a"} {
			publish(topic, uint64(i+5))
		}
		for _, topic := range []string{"unlogged1", "unlogged2"} {
			if err := pub.send(&wire.PublishCommand{Topic: topic, Body: []byte(topic)}); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, u.out()...)
		for _, want := range []string{"a1", "a3", "a6"} {
			n := 0
			for _, line := range got {
				if bytes.HasSuffix([]byte(line), []byte(": "+want)) {
					n++
				}
			}
			if n == 0 {
				t.Errorf("%s was not delivered: %q", want, got)
			}
		}
		for _, line := range got {
			for _, not := range []string{": b", "unlogged2"} {
				if bytes.Contains([]byte(line), []byte(not)) {
					t.Errorf("delivered %q", line)
				}
			}
		}
		if !slices.ContainsFunc(got, func(line string) bool { return bytes.HasSuffix([]byte(line), []byte("unlogged1")) }) {
			t.Errorf("no message of a topic that is not logged in %q", got)
		}
	})
}

// A mark moves past messages that the user may not have, so that a later resume neither reads them
// again nor finds a gap.
func TestMarksPassWithheld(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		pub := s.publisher("p")
		u := s.user("u", &servercore.Permissions{Subscribe: only("a")})
		if err := u.subscribe("1", ".*", "0", "vector"); err != nil {
			t.Fatal(err)
		}
		u.out()
		for i, topic := range []string{"a", "b", "b"} {
			if err := pub.publish(topic, uint64(i+1), topic); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		u.want("1: a")
		s.now = s.now.Add(time.Minute)
		out, _, _ := u.core.Fill(nil, s.now)
		marks := frames(t, out)
		if want := (bookmark.Vector{bookmark.IdentityOfLife("p").ID: 3}).String(); len(marks) != 1 || string(marks[0].Bookmark) != want {
			t.Errorf("got %q, want one mark with %s", out, want)
		}
	})
}

// Changed permissions apply to open sessions: a subscription to one topic ends, one by pattern goes
// on without the topic, a session with a name that is not allowed ends, and so does the session of a
// user that was removed.
func TestPermissionsChange(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		pub := s.publisher("p")
		u := s.user("u", &servercore.Permissions{})
		for id, topic := range map[string]string{"one": "a", "any": "[ab]"} {
			if err := u.subscribe(id, topic, "0", "bookmark"); err != nil {
				t.Fatal(err)
			}
		}
		u.out()
		u.core.SetPermissions(&servercore.Permissions{Subscribe: only("a", "b", "c")})
		u.want()
		publish := func(from uint64, topics ...string) {
			for i, topic := range topics {
				if err := pub.publish(topic, from+uint64(i), topic); err != nil {
					t.Fatal(err)
				}
			}
			s.sync()
		}
		publish(1, "a", "b")
		if got := u.out(); !slices.ContainsFunc(got, func(line string) bool { return strings.HasSuffix(line, ": a") }) {
			t.Errorf("before the change: got %q", got)
		}
		u.core.SetPermissions(&servercore.Permissions{Subscribe: only("b")})
		u.want("processed failure sub=one reason=not entitled")
		publish(3, "a", "b")
		if got := u.out(); !slices.ContainsFunc(got, func(line string) bool { return strings.HasSuffix(line, ": b") }) || slices.ContainsFunc(got, func(line string) bool { return strings.HasSuffix(line, ": a") }) {
			t.Errorf("got %q", got)
		}
		u.core.SetPermissions(&servercore.Permissions{ClientName: func(name string) bool { return name == "other" }})
		u.want("processed failure reason=not entitled", "end")
		if err := u.publish("a", 1, "x"); err == nil {
			t.Error("a session that has ended takes a publish")
		}
		removed := s.user("v", &servercore.Permissions{})
		removed.core.SetPermissions(nil)
		removed.want("processed failure reason=auth failure: the user may not log on any more", "end")
		if err := removed.publish("a", 1, "x"); err == nil {
			t.Error("the session of a removed user takes a publish")
		}
	})
}

// A user logs on only with client names that it may use. A name that the server makes up is no
// name of anybody.
func TestClientNameNotEntitled(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		for name, ok := range map[string]bool{"u-1": true, "v-1": false, "": true} {
			c := s.connect()
			c.core.SetUser("u")
			c.core.SetPermissions(&servercore.Permissions{ClientName: func(name string) bool { return name == "u-1" }})
			_, err := c.logon(name, "", 1, 0)
			if (err == nil) != ok {
				t.Errorf("name %q: %v", name, err)
			}
			if got := c.out(); !ok && !slices.Equal(got, []string{"processed failure reason=not entitled", "end"}) {
				t.Errorf("name %q got %q", name, got)
			}
		}
	})
}

// The connections of one user are bounded, and a session that another one of its own replaces does
// not count.
func TestConnectionsOfUser(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := &servercore.Permissions{Limits: servercore.UserLimits{Connections: 2}}
		connect := func(user, name string) (*client, error) {
			c := s.connect()
			c.core.SetUser(user)
			c.core.SetPermissions(p)
			_, err := c.logon(name, "", 1, 0)
			return c, err
		}
		first, _ := connect("u", "1")
		for _, name := range []string{"2", "2", "1"} {
			if _, err := connect("u", name); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		third, err := connect("u", "3")
		if err == nil {
			t.Error("a third session")
		}
		third.want("processed failure reason=too many sessions of the user", "end")
		if _, err := connect("v", "4"); err != nil {
			t.Errorf("another user: %v", err)
		}
		s.inst.Registry.Remove(first.core) // it was replaced, so it counts no more
		if _, err := connect("u", "3"); err == nil {
			t.Error("a third session after one that had been replaced is gone")
		}
	})
}

// A user that sends more than its bytes per second is read more slowly, over all of its sessions
// together. Publishes that are not entitled count as well.
func TestRateOfUser(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := &servercore.Permissions{Limits: servercore.UserLimits{BytesPerSecond: 1000}, Publish: only("a")}
		one, two := s.user("u", p), s.user("u2", p)
		one2 := s.connect()
		one2.core.SetUser("u")
		one2.core.SetPermissions(p)
		if _, err := one2.logon("u3", "u3", 1, 0); err != nil {
			t.Fatal(err)
		}
		if wait := one.core.Pause(1000, s.now); wait != 0 { // the burst
			t.Errorf("%v for the burst", wait)
		}
		if wait := one2.core.Pause(500, s.now); wait != 500*time.Millisecond {
			t.Errorf("%v for another session of the user", wait)
		}
		if wait := two.core.Pause(500, s.now); wait != 0 {
			t.Errorf("%v for another user", wait)
		}
		for range 200 {
			if err := two.send(&wire.PublishCommand{Topic: "b", Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if wait := two.core.Pause(0, s.now); wait < time.Second {
			t.Errorf("%v after 200 publishes that are not entitled", wait)
		}
		// A user does not get rid of the wait with a new session. Without a limit of bytes, too.
		p.Limits.BytesPerSecond = 0
		two2 := s.connect()
		two2.core.SetUser("u2")
		two2.core.SetPermissions(p)
		if _, err := two2.logon("u4", "u4", 1, 0); err != nil {
			t.Fatal(err)
		}
		if wait := two2.core.Pause(100, s.now); wait < time.Second/2 {
			t.Errorf("%v for the logon of another session of that user", wait)
		}
		if wait := two2.core.Pause(100, s.now); wait != 0 {
			t.Errorf("%v for a command that costs nothing", wait)
		}
	})
}

// Messages carry the user only if it is authenticated.
func TestUserOfMessages(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		sub := s.publisher("s")
		if err := sub.subscribe("s", ".*", "0", "bookmark"); err != nil {
			t.Fatal(err)
		}
		sub.out()
		u := s.user("joe", &servercore.Permissions{})
		stranger := s.connect()
		cmd := wire.LogonCommand{CommandID: "0", ClientName: "x", UserID: "joe2", Acks: wire.AckProcessed, Ext: true, Store: "x", Counter: 1}
		if err := stranger.core.Execute(s.message(&cmd), 0); err != nil {
			t.Fatal(err)
		}
		if err := stranger.core.Decide(s.now); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{u, stranger} {
			if err := c.publish("a", 1, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := stranger.send(&wire.PublishCommand{Topic: "unlogged", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		s.sync()
		out, _, _ := sub.core.Fill(nil, s.now)
		if n := bytes.Count(out, []byte("joe")); n != 1 || bytes.Contains(out, []byte("joe2")) {
			t.Errorf("%q", out)
		}
	})
}

// A publisher belongs to the first user that publishes as it. Another user is refused, also if only
// a peer knows the owner, and whether the peer answers before or after the logon. A publisher
// without an owner passes to the first user.
func TestPublisherOfAnotherUser(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		attempt := func(user, life string, answers ...ledger.Answers) (*client, error) {
			c := s.connect()
			if user != "" {
				c.core.SetUser(user)
				c.core.SetPermissions(&servercore.Permissions{})
			}
			cmd := wire.LogonCommand{CommandID: "0", ClientName: life, Acks: wire.AckProcessed, Ext: true, Store: life, Counter: 1}
			if err := c.core.Execute(s.message(&cmd), 0); err != nil {
				return c, err
			}
			for _, a := range answers {
				c.core.AddAnswers(a)
			}
			return c, c.core.Decide(s.now)
		}
		owned := func(life string) string { return s.inst.Ledger.Owner(bookmark.IdentityOfLife(life).ID) }
		const refusal = "processed failure reason=publisher of another user"
		before, err := attempt("", "old")
		if err != nil || before.publish("a", 1, "x") != nil {
			t.Fatal(err)
		}
		s.inst.Registry.Remove(before.core)
		joe, err := attempt("joe", "old")
		if err != nil || joe.publish("a", 2, "x") != nil || owned("old") != "joe" {
			t.Fatalf("the owner of a publisher without one is %q, %v", owned("old"), err)
		}
		s.inst.Registry.Remove(joe.core)
		ann, err := attempt("ann", "old")
		if err == nil {
			t.Error("another user publishes as the publisher")
		}
		ann.want(refusal, "end")
		s.inst.Registry.Remove(ann.core)
		if joe, err = attempt("joe", "old"); err != nil {
			t.Errorf("the owner: %v", err)
		}
		s.inst.Registry.Remove(joe.core)
		// The refusal comes before the logon claims the publisher, which would keep its owner out.
		ann = s.connect()
		ann.core.SetUser("ann")
		ann.core.SetPermissions(&servercore.Permissions{})
		cmd := wire.LogonCommand{CommandID: "0", ClientName: "ann", Acks: wire.AckProcessed, Ext: true, Store: "old", Counter: 1}
		if err := ann.core.Execute(s.message(&cmd), 0); err == nil || ann.core.Deciding() {
			t.Errorf("another user claims the publisher: %v", err)
		}
		if ann, err = attempt("ann", "elsewhere", ledger.Answers{AllAnswered: true, Have: 5, Owner: "joe"}); err == nil {
			_, err = ann.core.State(), ann.publish("a", 1, "x")
		}
		if err == nil || owned("elsewhere") != "" {
			t.Errorf("another user publishes as a publisher that a peer knows, %q", owned("elsewhere"))
		}
		late, err := attempt("ann", "late")
		if err != nil {
			t.Fatal(err)
		}
		late.out()
		late.core.AddAnswers(ledger.Answers{AllAnswered: true, Have: 5, Owner: "joe"})
		late.want(refusal, "end")
		if err := late.publish("a", 1, "x"); err == nil || owned("late") != "" {
			t.Errorf("a publish after the peer's answer: %v, owner %q", err, owned("late"))
		}
	})
}

// The publishers of a user are bounded, in number and in new ones per second. Those that it has may
// log on again.
func TestPublishersOfUser(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		attempt := func(user, life string, l servercore.UserLimits) error {
			c := s.connect()
			defer s.inst.Registry.Remove(c.core)
			c.core.SetUser(user)
			c.core.SetPermissions(&servercore.Permissions{Limits: l})
			cmd := wire.LogonCommand{CommandID: "0", ClientName: life, Acks: wire.AckProcessed, Ext: true, Store: life, Counter: 1}
			if err := c.core.Execute(s.message(&cmd), 0); err != nil {
				return err
			}
			if err := c.core.Decide(s.now); err != nil {
				t.Error(err)
			}
			c.out()
			have, _ := s.inst.Ledger.Have(bookmark.IdentityOfLife(life).ID)
			err := c.publish("a", have+1, "x")
			if err != nil {
				c.want("processed failure reason=too many publishers of the user", "end")
			}
			return err
		}
		s.inst.Now = func() time.Time { return s.now }
		three := servercore.UserLimits{Publishers: 3}
		for i := range 3 {
			if err := attempt("u", fmt.Sprint("life", i), three); err != nil {
				t.Fatal(err)
			}
		}
		if err := attempt("u", "life3", three); err == nil {
			t.Error("a fourth publisher")
		}
		if err := attempt("u", "life1", three); err != nil {
			t.Errorf("a publisher that the user has: %v", err)
		}
		if err := attempt("v", "life4", three); err != nil {
			t.Errorf("another user: %v", err)
		}
		slow := servercore.UserLimits{PublisherRate: 1}
		n := 0
		for i := range 100 {
			if attempt("w", fmt.Sprint("w", i), slow) == nil {
				n++
			}
		}
		if n != 11 { // the burst of ten seconds, and one
			t.Errorf("%d new publishers at once", n)
		}
		s.now = s.now.Add(time.Second)
		if err := attempt("w", "later", slow); err != nil {
			t.Errorf("a new publisher a second later: %v", err)
		}
	})
}
