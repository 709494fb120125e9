package server_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// pubber is the client-name hash of "pubber", from a capture of a real server.
const pubber = uint64(7094790850998930143)

func TestPlainClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.send(`{"c":"logon","cid":"0","client_name":"pubber","mt":"json","a":"processed","version":"1.0.0:go"}`)
		p.expect(`{"c":"ack","cid":"0","s":0,"bm":"7094790850998930143|0|","client_name":"pubber","a":"processed","status":"success","version":"5.3.5.0.holdfast-dev"}`)

		p.send(`{"c":"p","cid":"7","t":"orders","a":"persisted","s":1}`, `{"id":1}`)
		p.expect(`{"c":"ack","a":"persisted","s":1,"bm":"7094790850998930143|1|","status":"success"}`)
		p.publish("orders", 2, 5)
		p.awaitPersisted(5, "")
		if a, b := pair.A.Have(pubber), pair.B.Have(pubber); a != 5 || b != 5 {
			t.Errorf("persisted 5 while a has %d and b has %d", a, b)
		}

		for _, i := range []*servertest.Instance{pair.A, pair.B} {
			s := dial(t, i)
			s.logon("sub-" + i.Name())
			s.send(`{"c":"subscribe","cid":"2","t":"orders","sub_id":"7","bm":"0","a":"processed,completed"}`)
			s.expect(`{"c":"ack","cid":"2","a":"processed","status":"success","sub_id":"7"}`,
				`{"c":"p","t":"orders","bm":"7094790850998930143|1|","sids":"7"}{"id":1}`)
			if got := s.receive(4); !slices.Equal(got, bookmarks(pubber, 2, 5)) {
				t.Errorf("on %s from EPOCH: %v", i.Name(), got)
			}
			s.expect(`{"c":"ack","cid":"2","a":"completed","status":"success","sub_id":"7","bm":"7094790850998930143|5|"}`)

			s.send(`{"c":"subscribe","cid":"3","t":"^ord","sub_id":"8","bm":"7094790850998930143|3|,42|7|","a":"processed,completed"}`)
			s.expect(`{"c":"ack","cid":"3","a":"processed","status":"success","sub_id":"8"}`)
			if got := s.receive(2); !slices.Equal(got, bookmarks(pubber, 4, 5)) {
				t.Errorf("on %s after a list: %v", i.Name(), got)
			}
			s.expect(`{"c":"ack","cid":"3","a":"completed","status":"success","sub_id":"8","bm":"7094790850998930143|5|"}`)
		}
	})
}

func TestOneFrameForSeveralSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		s := dial(t, i)
		s.logon("sub")
		s.send(`{"c":"subscribe","cid":"1","t":"orders","a":"processed"}`)
		s.send(`{"c":"subscribe","cid":"4","t":"ord","a":"processed"}`)
		s.send(`{"c":"subscribe","cid":"5","t":"ord.r","bm":"0|1|","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"1","a":"processed","status":"success","sub_id":"1"}`,
			`{"c":"ack","cid":"4","a":"processed","status":"success","sub_id":"4"}`,
			`{"c":"ack","cid":"5","a":"processed","status":"success","sub_id":"5"}`)
		synctest.Wait()
		p := dial(t, i)
		p.logon("pubber")
		p.publish("orders", 1, 1)
		s.expect(`{"c":"p","t":"orders","bm":"7094790850998930143|1|","sids":"1,5"}{"n":1}`)

		s.send(`{"c":"unsubscribe","cid":"6","sub_id":"5","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"6","a":"processed","status":"success"}`)
		p.publish("orders", 2, 2)
		s.expect(`{"c":"p","t":"orders","sids":"1"}{"n":2}`)
		s.send(`{"c":"subscribe","cid":"7","t":"other","sub_id":"1","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"7","a":"processed","status":"failure","reason":"subid in use","sub_id":"1"}`)
		s.send(`{"c":"subscribe","cid":"8","t":"other","sub_id":"1","a":"processed","opts":"replace,"}`)
		s.expect(`{"c":"ack","cid":"8","a":"processed","status":"success","sub_id":"1"}`)
		p.publish("orders", 3, 3)
		p.publish("other", 4, 4)
		s.expect(`{"c":"p","t":"other","sids":"1"}{"n":4}`)
		s.send(`{"c":"unsubscribe","sub_id":"all"}`)
		s.send(`{"c":"flush","cid":"9","a":"completed"}`)
		s.expect(`{"c":"ack","cid":"9","a":"completed","status":"success"}`)
		p.publish("other", 5, 5)
		s.wantSilence(time.Second)
	})
}

func TestFailureAcksKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, logTopics("^orders$"))
		p := dial(t, i)
		p.logon("pubber")
		p.bytes(frame(`{"c":"p","t":"orders","a":"persisted","s":1}x`) + frame(`{"c":"p","t":"orders","a":"persisted","s":2}x`) +
			frame(`{"c":"p","t":"other","a":"persisted","s":3}x`) + frame(`{"c":"delta_publish","t":"orders","a":"persisted","s":4}x`) +
			frame(`{"c":"p","a":"persisted","s":5}x`) + frame(`{"c":"sow_delete","t":"orders","filter":"1=1","a":"persisted","s":6}`) +
			frame(`{"c":"p","t":"/AMPS/devnull","a":"persisted","s":7}x`) + frame(`{"c":"p","t":"orders","a":"persisted","s":8}x`))
		want := []string{"3 invalid topic", "4 delta_publish is not offered", "5 no topic", "6 sow_delete is not offered"}
		var failures []string
		for safe := uint64(0); safe < 8; {
			m := p.message()
			if string(m.Status) == "failure" {
				failures = append(failures, fmt.Sprintf("%d %s", m.Sequence, m.Reason))
				if safe >= m.Sequence {
					t.Errorf("failure %d after success %d", m.Sequence, safe)
				}
				continue
			}
			if safe = m.Sequence; safe >= 3 && len(failures) < min(int(safe)-2, 4) {
				t.Errorf("success %d after only %d failures", safe, len(failures))
			}
		}
		if !slices.Equal(failures, want) {
			t.Errorf("failures %q, want %q", failures, want)
		}
		if n := len(i.Messages("")); n != 3 {
			t.Errorf("the journal holds %d messages, want 3", n)
		}
		if have := i.Have(pubber); have != 8 {
			t.Errorf("have is %d, want 8: a refused message leaves a record", have)
		}
	})
}

// A topic with control characters, or one that is not UTF-8, is rejected by all instances alike and
// leaves a tombstone (R14).
func TestInvalidTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logon("pubber")
		for n, topic := range []string{`a\tb`, `a\u0000`, "a\x7f", `a\u0085`, "a\xff", "a\xc3"} {
			p.send(fmt.Sprintf(`{"c":"p","t":"%s","a":"persisted","s":%d}x`, topic, n+1))
		}
		p.send(`{"c":"p","t":"Müll ß 東京/\u00e9","a":"persisted","s":7}` + "\x00\xff")
		var failures []uint64
		for m := p.message(); m.Sequence < 7; m = p.message() {
			if string(m.Reason) == "invalid topic" {
				failures = append(failures, m.Sequence)
			}
		}
		if !slices.Equal(failures, []uint64{1, 2, 3, 4, 5, 6}) {
			t.Errorf("refused are %d", failures)
		}
		if n, have := len(i.Messages("")), i.Have(pubber); n != 1 || have != 7 {
			t.Errorf("%d messages, have is %d", n, have)
		}
	})
}

func TestTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, maxMessage(4096))
		p := dial(t, i)
		p.logonExt("pub", "life", 1, 0)
		p.send(`{"c":"p","t":"orders","a":"persisted","s":1}`, string(make([]byte, 5000)))
		p.expect(`{"c":"ack","a":"persisted","s":1,"status":"failure","reason":"message too large"}`)
		p.send(`{"c":"p","t":"orders","a":"persisted","s":2}`, string(make([]byte, 2<<20)))
		p.expect(`{"c":"ack","a":"persisted","s":1,"bm":"`+bookmark.Bookmark{Publisher: bookmark.IdentityOfLife("life").ID, Sequence: 1}.String()+`","status":"success"}`,
			`{"c":"ack","a":"persisted","s":2,"status":"failure","reason":"message too large"}`)
		p.send(`{"c":"p","cid":"9","t":"orders","a":"processed,persisted"}`, string(make([]byte, 5000)))
		p.awaitPersisted(2, "")
		p.expect(`{"c":"ack","cid":"9","a":"processed","status":"failure","reason":"message too large"}`,
			`{"c":"ack","cid":"9","a":"persisted","status":"failure","reason":"message too large"}`)
		p.publish("orders", 3, 3)
		p.awaitPersisted(3, "")
	})
}

func TestUnsequenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, logTopics("^orders$"))
		s := dial(t, i)
		s.logon("sub")
		s.send(`{"c":"subscribe","cid":"1","t":".*","opts":"bookmark"}`)
		s.send(`{"c":"subscribe","cid":"2","t":".*","bm":"0"}`)
		s.send(`{"c":"flush","cid":"3","a":"completed"}`)
		s.expect(`{"c":"ack","cid":"3","a":"completed","status":"success"}`)
		synctest.Wait()

		p := dial(t, i)
		p.logon("pubber")
		p.send(`{"c":"p","cid":"1","t":"orders","a":"received,processed,completed,persisted"}`, "x")
		p.expect(`{"c":"ack","cid":"1","a":"received","status":"success"}`, `{"c":"ack","cid":"1","a":"processed","status":"success"}`,
			`{"c":"ack","cid":"1","a":"completed","status":"success"}`, `{"c":"ack","cid":"1","a":"persisted","status":"success"}`)
		m := s.message()
		if string(m.SubIDs) != "1,2" && string(m.SubIDs) != "2,1" || len(m.Bookmark) == 0 {
			t.Errorf("delivered to %s with bookmark %s", m.SubIDs, m.Bookmark)
		}
		p.send(`{"c":"p","cid":"2","t":"gossip","x":"abc","a":"persisted"}`, "y")
		p.expect(`{"c":"ack","cid":"2","a":"persisted","status":"success"}`)
		s.expect(`{"c":"p","t":"gossip","x":"abc","sids":"1"}y`)
		p.send(`{"c":"p","cid":"3","t":"/AMPS/devnull","a":"persisted"}`, "z")
		p.expect(`{"c":"ack","cid":"3","a":"persisted","status":"success"}`)
		p.send(`{"c":"flush","cid":"4","a":"processed,persisted"}`)
		p.expect(`{"c":"ack","cid":"4","a":"processed","status":"success"}`, `{"c":"ack","cid":"4","a":"persisted","status":"success"}`)
		s.wantSilence(time.Second)
	})
}

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		c := dial(t, i)
		c.logon("sub")
		c.send(`{"c":"heartbeat","cid":"20","opts":"start,2","a":"processed"}`)
		c.expect(`{"c":"ack","cid":"20","a":"processed","status":"success"}`)
		for range 5 {
			begin := time.Now()
			if text, err := c.read(); err != nil || text != `{"c":"heartbeat"}` || time.Since(begin) != 2*time.Second {
				t.Fatalf("%q, %v after %v", text, err, time.Since(begin))
			}
			c.send(`{"c":"heartbeat","opts":"beat"}`)
		}
		begin := time.Now()
		for time.Since(begin) < 10*time.Second {
			if _, err := c.read(); err != nil {
				break
			}
		}
		if d := time.Since(begin); d != 4*time.Second {
			t.Errorf("closed %v after the last sign, want twice the interval", d)
		}
	})
}

func TestHeartbeatStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		c := dial(t, i)
		c.logon("sub")
		c.send(`{"c":"heartbeat","opts":"start,1"}`)
		c.send(`{"c":"heartbeat","opts":"stop"}`)
		c.wantSilence(time.Minute)
		c.send(`{"c":"heartbeat","cid":"1","opts":"start,0","a":"processed"}`)
		c.expect(`{"c":"ack","cid":"1","a":"processed","status":"failure","reason":"invalid options"}`)
	})
}

func TestNameInUse(t *testing.T) {
	const inUse = `{"c":"ack","a":"processed","status":"failure","reason":"name in use"}`
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		synctest.Wait() // the two may dial each other at once; now it is decided which connection stays
		old := dial(t, pair.A)
		old.logon("pubber")
		other := dial(t, pair.A)
		other.send(`{"c":"logon","cid":"0","client_name":"pubber","user_id":"joe","a":"processed"}`)
		other.expect(`{"c":"ack","cid":"0","a":"processed","status":"failure","reason":"name in use","version":"5.3.5.0.holdfast-dev"}`)
		other.wantClosed()
		later := dial(t, pair.A)
		later.logon("pubber")
		old.expect(inUse)
		old.wantClosed()
		across := dial(t, pair.B)
		across.logon("pubber")
		later.expect(inUse)
		later.wantClosed()
		across.publish("orders", 1, 1)
		across.awaitPersisted(1, "")
	})
}

// When one life logs on several times, the higher counter wins, here and on the peer, in any order
// of arrival.
func TestHigherCounterWins(t *testing.T) {
	const inUse = `{"c":"ack","a":"processed","status":"failure","reason":"name in use"}`
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		first := dial(t, pair.A)
		first.logonExt("gw", "life", 1, 0)
		third := dial(t, pair.B)
		third.logonExt("gw", "life", 3, 0)
		first.expect(inUse)
		first.wantClosed()
		second := dial(t, pair.A)
		second.send(`{"c":"logon","cid":"0","client_name":"gw","a":"processed","ext":"1","store":"life","n":2,"acked":0,"last":9}`)
		m := second.message()
		if string(m.Status) == "success" { // the notice of the third session will end it
			m = second.message()
		}
		if string(m.Reason) != "name in use" {
			t.Errorf("the older logon got %s %q", m.Status, m.Reason)
		}
		second.wantClosed()
		third.publish("orders", 1, 1)
		third.awaitPersisted(1, "")
		late := dial(t, pair.B)
		late.send(`{"c":"logon","cid":"0","client_name":"gw","a":"processed","ext":"1","store":"life","n":2,"acked":0,"last":9}`)
		if m := late.message(); string(m.Reason) != "name in use" {
			t.Errorf("a logon that was overtaken got %s %q", m.Status, m.Reason)
		}
		third.publish("orders", 2, 2)
		third.awaitPersisted(2, "")
	})
}

func TestLogonComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		c := dial(t, i)
		c.send(`{"c":"p","cid":"1","t":"orders","s":1}`, "x")
		c.expect(`{"c":"ack","cid":"1","a":"processed","status":"failure","reason":"logon required","version":"5.3.5.0.holdfast-dev"}`)
		c.wantClosed()
		if n := len(i.Messages("")); n != 0 {
			t.Errorf("%d messages of a client that is not logged on", n)
		}
		c = dial(t, i)
		c.logon("pubber")
		c.send(`{"c":"logon","cid":"9","client_name":"pubber","a":"processed"}`)
		c.expect(`{"c":"ack","cid":"9","a":"processed","status":"failure","reason":"duplicate logon attempt"}`)
		c.publish("orders", 1, 1)
		c.awaitPersisted(1, "")
	})
}

func TestPublishGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logonExt("pub", "life", 1, 0)
		p.publish("orders", 1, 2)
		p.publish("orders", 4, 9)
		for {
			text := p.next()
			if text == `{"c":"ack","a":"processed","status":"failure","reason":"publish gap"}` {
				break
			}
			t.Log(text)
		}
		p.wantClosed()
		if have := i.Have(bookmark.IdentityOfLife("life").ID); have != 2 {
			t.Errorf("have %d, want 2", have)
		}
		p = dial(t, i)
		p.send(`{"c":"logon","cid":"0","client_name":"pub","a":"processed","ext":"1","store":"life","n":2,"acked":3,"last":9}`)
		p.expect(`{"c":"ack","a":"processed","status":"failure","reason":"publish gap"}`)
		p.wantClosed()
	})
}
