package server_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

var lifeHash = bookmark.IdentityOfLife("life").ID

func life(s uint64) string { return bookmark.Bookmark{Publisher: lifeHash, Sequence: s}.String() }

func TestExtendedLogon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.send(`{"c":"logon","cid":"0","client_name":"gw","a":"processed","ext":"1","store":"life","n":1,"acked":0}`)
		m := p.message()
		if string(m.Ext) != "1" || m.Sequence != 0 || !m.HasHave || m.Have != 0 || m.Max != 16<<20 || m.CatchingUp || m.HasCarried ||
			string(m.Bookmark) != life(0) || string(m.ClientName) != "gw" {
			t.Errorf("logon ack %+v", m)
		}
		p.publish("orders", 1, 3)
		p.awaitPersisted(3, "")
		// A tombstone, then a message after it.
		p.send(`{"c":"delta_publish","t":"orders","a":"persisted","s":4}`)
		p.expect(`{"c":"ack","a":"persisted","s":4,"status":"failure","reason":"delta_publish is not offered"}`)
		p.send(`{"c":"p","t":"orders","a":"persisted","s":5}`, "x")
		p.awaitPersisted(5, "")
		p.close()

		// A store that has let go up to 3 is told of the failure of 4 again, before an ack passes
		// it.
		p = dial(t, pair.B)
		ack, failures := p.logonExt("gw", "life", 2, 3)
		if ack.Sequence > 5 || ack.Have != 5 {
			t.Errorf("s=%d have=%d, want at most 5, and 5", ack.Sequence, ack.Have)
		}
		if !slices.Equal(failures, []string{`{"c":"ack","a":"persisted","s":4,"status":"failure","reason":"delta_publish is not offered"}`}) {
			t.Errorf("got %q before the logon ack", failures)
		}
		p.close()
		p = dial(t, pair.A)
		if _, failures := p.logonExt("gw", "life", 3, 5); len(failures) != 0 {
			t.Errorf("got %q for messages that the store no longer keeps", failures)
		}
	})
}

func TestOneInstanceDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p, s := dial(t, pair.A), dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		s.logon("sub")
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0|1|","a":"processed"}`)
		s.next()
		p.publish("orders", 1, 2)
		p.awaitPersisted(2, "")
		pair.B.Kill()
		p.publish("orders", 3, 5)
		if got := s.receive(5); !slices.Equal(got, bookmarks(lifeHash, 1, 5)) {
			t.Errorf("local subscriber got %v", got)
		}
		p.wantSilence(10 * time.Minute)
		p.close()
		p = dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 2, 2); ack.Sequence > 2 || ack.Have != 5 {
			t.Errorf("s=%d have=%d while 2 is safe at most", ack.Sequence, ack.Have)
		}
		p.publish("orders", 3, 5) // a replay
		p.wantSilence(time.Minute)
		pair.B.Restart()
		p.awaitPersisted(5, "")
		if have := pair.B.Have(lifeHash); have != 5 {
			t.Errorf("persisted 5 while b has %d", have)
		}
	})
}

func TestDowngrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(5*time.Second))
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 2)
		p.awaitPersisted(2, "")
		pair.B.Kill()
		p.publish("orders", 3, 5)
		p.wantSilence(4 * time.Second)
		p.expect(fmt.Sprintf(`{"c":"ack","a":"persisted","s":5,"bm":"%s","status":"success","level":"single"}`, life(5)))
		p.close()
		p = dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 2, 2); ack.Sequence > 2 || ack.Have != 5 {
			t.Errorf("s=%d have=%d while 2 is safe at most", ack.Sequence, ack.Have)
		}
		p.publish("orders", 3, 6)
		p.awaitPersisted(6, "single")
		pair.B.Restart()
		p.awaitPersisted(6, "")
	})
}

func TestVectorSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 3)
		p.publish("noise", 4, 6)
		p.awaitPersisted(6, "")

		s := dial(t, i)
		s.logonExt("sub", "", 0, 0)
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","opts":"vector","a":"processed,completed,persisted"}`)
		s.expect(`{"c":"ack","cid":"1","a":"processed","status":"success","sub_id":"1","bm":"0"}`)
		if got := s.receive(3); !slices.Equal(got, bookmarks(lifeHash, 1, 3)) {
			t.Errorf("from EPOCH: %v", got)
		}
		s.expect(`{"c":"ack","cid":"1","a":"persisted","status":"success","sub_id":"1","bm":"`+life(6)+`"}`,
			`{"c":"ack","cid":"1","a":"completed","status":"success","sub_id":"1","bm":"`+life(3)+`"}`)
		s.wantSilence(time.Minute)

		// NOW: the base covers the messages in the log.
		s.send(`{"c":"subscribe","cid":"2","t":"orders","bm":"0|1|","opts":"vector","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"2","a":"processed","status":"success","sub_id":"2","bm":"` + life(6) + `"}`)
		// A vector ahead of this log is no error: the subscription does not need the messages up to
		// it.
		s.send(`{"c":"subscribe","cid":"3","t":"orders","bm":"` + life(7) + `","opts":"vector","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"3","a":"processed","status":"success","sub_id":"3"}`)
		s.send(`{"c":"subscribe","cid":"4","t":"orders","bm":"` + life(2) + `","opts":"vector,timestamp","a":"processed"}`)
		s.expect(`{"c":"ack","cid":"4","a":"processed","status":"success","sub_id":"4"}`)
		if m := s.message(); string(m.Bookmark) != life(3) || string(m.SubIDs) != "4" || len(m.Timestamp) != len("20060102T150405.000000Z") {
			t.Errorf("after a vector: %s to %s at %s", m.Bookmark, m.SubIDs, m.Timestamp)
		}
		p.publish("orders", 7, 7)
		for {
			if m := s.message(); m.Command == wire.Publish {
				if string(m.SubIDs) != "1,2,4" {
					t.Errorf("7 went to %s", m.SubIDs)
				}
				break
			}
		}
		if mark := s.message(); mark.Acks != wire.AckPersisted || string(mark.Bookmark) != life(7) {
			t.Errorf("no mark: %+v", mark)
		}
	})
}

// Marks are in stream order: a mark never comes before a message that it covers.
func TestMarksEveryThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 2500)
		p.awaitPersisted(2500, "")
		s := dial(t, i)
		s.logonExt("sub", "", 0, 0)
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","opts":"vector"}`)
		seen, marked := uint64(0), 0
		for seen < 2500 || marked < 3 {
			m := s.message()
			b, err := bookmark.Parse(m.Bookmark)
			switch {
			case err != nil:
				t.Fatalf("bookmark %s: %v", m.Bookmark, err)
			case m.Command == wire.Publish:
				seen = b.Sequence
			case b.Sequence != seen:
				t.Fatalf("mark %d after message %d", b.Sequence, seen)
			default:
				marked++
			}
		}
	})
}

// A plain subscription gets marks even under a load in which the newest message is never settled,
// since the peer lags by many messages.
func TestMarksUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(20*time.Second))
		p, s := dial(t, pair.A), dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		s.logon("sub")
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","a":"persisted"}`)
		diskOf(pair.B).SetSyncDelay(200 * time.Millisecond)
		go func() {
			p.publish("orders", 1, 1200)
			for n := uint64(1201); n <= 1400; n++ {
				time.Sleep(10 * time.Millisecond)
				p.publish("orders", n, n)
			}
		}()
		marked := 0
		for seen := 0; seen < 1400; {
			switch m := s.message(); {
			case m.Command == wire.Publish:
				seen++
			case m.Acks == wire.AckPersisted:
				marked++
			}
		}
		if marked == 0 {
			t.Error("no mark in 2s")
		}
	})
}

func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, segments(64<<10), servertest.Config(func(c *server.Config) { c.Log.RetainBytes = 256 << 10 }))
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		big := string(make([]byte, 10_000))
		for s := uint64(1); s <= 60; s++ {
			p.send(fmt.Sprintf(`{"c":"p","t":"orders","a":"persisted","s":%d}`, s), big)
		}
		p.awaitPersisted(60, "")
		testdoor.Inside(i.Server()).Trim() // the rest that the instance has not removed by itself
		if i.Server().Publishers(0, 1).Publishers[0].Floor == 0 {
			t.Fatal("retention removed nothing")
		}
		s := dial(t, i)
		s.logonExt("sub", "", 0, 0)
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"` + life(2) + `","opts":"vector","a":"processed"}`)
		m := s.message()
		gaps, err := wire.ParseGaps(m.Gap)
		if err != nil || string(m.Status) != "failure" || string(m.Reason) != "bookmark not found" || len(gaps) != 1 || gaps[0].From != 3 {
			t.Fatalf("got %s %q, gap %s", m.Status, m.Reason, m.Gap)
		}
		floor := gaps[0].To
		s.send(`{"c":"subscribe","cid":"2","t":"orders","bm":"` + life(2) + `","opts":"vector,bookmark_not_found=epoch","a":"processed"}`)
		if m := s.message(); string(m.Status) != "success" || string(m.Gap) != string(wire.AppendGaps(nil, gaps)) || m.Bookmark != nil {
			t.Errorf("accepted gap: %s, gap %s, base %s", m.Status, m.Gap, m.Bookmark)
		}
		if got := s.receive(int(60 - floor)); !slices.Equal(got, bookmarks(lifeHash, floor+1, 60)) {
			t.Errorf("after the gap: %v", got)
		}
		s.send(`{"c":"subscribe","cid":"3","t":"orders","bm":"` + life(2) + `","opts":"vector,bookmark_not_found=now","a":"processed"}`)
		for {
			if m := s.message(); m.Acks == wire.AckProcessed {
				if string(m.Reason) != "invalid options" {
					t.Errorf("vector with bookmark_not_found=now: %s %q", m.Status, m.Reason)
				}
				break
			}
		}
		// EPOCH is no gap. The ack says where the log begins.
		s.send(`{"c":"subscribe","cid":"4","t":"orders","bm":"0","opts":"vector","a":"processed"}`)
		for {
			if m := s.message(); m.Acks == wire.AckProcessed {
				if string(m.Status) != "success" || string(m.Bookmark) != life(floor) {
					t.Errorf("EPOCH: %s, base %s, want %s", m.Status, m.Bookmark, life(floor))
				}
				break
			}
		}
	})
}

// A slow subscriber that retention overtakes is told of the gap. If it accepts gaps it continues
// after the gap.
func TestOvertaken(t *testing.T) {
	t.Run("ends", func(t *testing.T) { overtaken(t, "vector", "failure") })
	t.Run("accepts", func(t *testing.T) { overtaken(t, "vector,bookmark_not_found=epoch", "success") })
}

func overtaken(t *testing.T, options, status string) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, segments(64<<10), servertest.Config(func(c *server.Config) { c.Log.RetainBytes = 256 << 10 }))
		s := dial(t, i)
		s.logonExt("sub", "", 0, 0)
		s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","opts":"` + options + `","a":"processed"}`)
		s.next()
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		big := string(make([]byte, 10_000))
		for n := uint64(1); n <= 60; n++ {
			p.send(fmt.Sprintf(`{"c":"p","t":"orders","a":"persisted","s":%d}`, n), big)
		}
		p.awaitPersisted(60, "")
		synctest.Wait()
		testdoor.Inside(i.Server()).Trim()
		seen := uint64(0)
		for {
			m := s.message()
			if m.Command == wire.Publish {
				b, _ := bookmark.Parse(m.Bookmark)
				if b.Sequence != seen+1 {
					t.Fatalf("%d after %d without a word", b.Sequence, seen)
				}
				seen = b.Sequence
				if seen == 60 {
					return // it had read them before
				}
				continue
			}
			if gaps, err := wire.ParseGaps(m.Gap); len(gaps) == 1 && err == nil {
				if gaps[0].From != seen+1 || string(m.Status) != status || string(m.SubID) != "1" {
					t.Errorf("gap %s after %d, status %s, of %q", m.Gap, seen, m.Status, m.SubID)
				}
				if seen = gaps[0].To; status == "failure" {
					return
				}
			}
		}
	})
}

func TestFullyDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(5*time.Second))
		s, plain := dial(t, pair.A), dial(t, pair.A)
		s.logonExt("sub", "", 0, 0)
		plain.logon("plain")
		for _, c := range []*raw{s, plain} {
			c.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0|1|","opts":"fully_durable","a":"processed"}`)
			c.next()
		}
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		s.receive(1)
		plain.receive(1)
		pair.B.Kill()
		p.publish("orders", 2, 2)
		plain.wantSilence(4 * time.Second)
		plain.receive(1) // settled
		s.wantSilence(time.Minute)
		pair.B.Restart()
		if got := s.receive(1); got[0] != life(2) {
			t.Errorf("got %v", got)
		}
	})
}

func TestNotReplicated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Config(func(c *server.Config) {
			c.Replication.Destinations[0].Topics = []string{"^orders"}
		}))
		s := dial(t, pair.A)
		ack, _ := s.logonExt("sub", "", 0, 0)
		if string(ack.Carried) != "^orders" {
			t.Errorf("carried is %q", ack.Carried)
		}
		for topic, want := range map[string]string{"orders-eu": "", "^orders": "", "prices": "not replicated", ".*": "not replicated"} {
			s.send(`{"c":"subscribe","cid":"` + topic + `","t":"` + topic + `","bm":"0","opts":"vector","a":"processed"}`)
			if m := s.message(); string(m.Reason) != want || string(m.Status) != "success" {
				t.Errorf("%s: %s %q, want %q", topic, m.Status, m.Reason, want)
			}
		}
		s.send(`{"c":"subscribe","cid":"9","t":"prices","bm":"0","a":"processed"}`)
		if m := s.message(); string(m.Reason) != "" {
			t.Errorf("without vector: %q", m.Reason)
		}
	})
}

// A life that no instance knows, but whose store has let go of messages, may publish.
func TestUnknownPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 1, 7); string(ack.Status) != "success" || ack.Have != 7 || ack.Sequence > 7 {
			t.Fatalf("%s %q s=%d have=%d", ack.Status, ack.Reason, ack.Sequence, ack.Have)
		}
		p.publish("orders", 8, 8)
		p.awaitPersisted(8, "")
		plain := dial(t, pair.B)
		plain.logon("pubber")
		plain.publish("orders", 1000, 1001)
		plain.awaitPersisted(1001, "")
		if have := pair.A.Have(pubber); have != 1001 {
			t.Errorf("a has %d of the plain client", have)
		}
		// In its second session the publisher is known: it may not leave numbers out again.
		plain.publish("orders", 2000, 2000)
		plain.expect(`{"c":"ack","a":"processed","status":"failure","reason":"publish gap"}`)
		plain.wantClosed()
	})
}

// An instance without its peer cannot know that a publisher is unknown everywhere.
func TestUnknownPublisherPeerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Unstarted())
		pair.A.Restart()
		pair.A.AwaitReady()
		p := dial(t, pair.A)
		ack, _ := p.logonExt("gw", "life", 1, 7)
		if string(ack.Reason) != "publish gap" {
			t.Errorf("%s %q", ack.Status, ack.Reason)
		}
		p.wantClosed()
		s := dial(t, pair.A)
		if ack, _ := s.logonExt("sub", "other", 1, 0); !ack.CatchingUp {
			t.Error("the logon ack does not say that the instance has not caught up")
		}
		pair.B.Restart()
		pair.B.AwaitReady()
		p.awaitLink(pair.A)
		p = dial(t, pair.A)
		if ack, _ := p.logonExt("gw", "life", 2, 7); string(ack.Status) != "success" || ack.Have != 7 {
			t.Errorf("with the peer back: %s %q have=%d", ack.Status, ack.Reason, ack.Have)
		}
	})
}

// publishedPair returns a pair, and a plain client of A whose first two messages are on both disks.
func publishedPair(t *testing.T) (*servertest.Pair, *raw) {
	pair := servertest.NewPair(t, servertest.DowngradeAfter(20*time.Second))
	p := dial(t, pair.A)
	p.logon("pubber")
	p.publish("orders", 1, 2)
	p.awaitPersisted(2, "")
	return pair, p
}

// The logon of a plain client waits until have and settled are equal.
func TestPlainLogonWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := publishedPair(t)
		pair.B.Kill()
		p.publish("orders", 3, 3)
		p.wantSilence(time.Second)
		p.close()
		p = dial(t, pair.A)
		p.send(`{"c":"logon","cid":"0","client_name":"pubber","a":"processed"}`)
		p.wantSilence(10 * time.Second)
		pair.B.Restart()
		p.expect(`{"c":"ack","cid":"0","s":3,"bm":"7094790850998930143|3|","client_name":"pubber","a":"processed","status":"success","version":"5.3.5.0.holdfast-dev"}`)
		pair.B.AwaitReady()
		if have := pair.B.Have(pubber); have != 3 {
			t.Errorf("the logon ack says 3 while b has %d", have)
		}
	})
}

// A copy of a store publishes other content under the same identity.
func TestTwoContents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 2)
		p.awaitPersisted(2, "")
		p.send(`{"c":"p","t":"orders","a":"persisted","s":2}`, body(2))
		p.awaitPersisted(2, "") // same content: a duplicate
		p.send(`{"c":"p","t":"orders","a":"persisted","s":2}`, "other")
		p.expect(`{"c":"ack","a":"persisted","s":2,"status":"failure","reason":"duplicate with other content"}`)
		if n := i.Server().Status().Differing; n != 1 {
			t.Errorf("counted %d", n)
		}
	})
}

func TestAckConflation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.send(`{"c":"logon","cid":"0","client_name":"pubber","a":"processed","opts":"ack_conflation=100ms"}`)
		p.next()
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		began := time.Now()
		p.publish("orders", 2, 50)
		if m := p.message(); m.Sequence != 50 || time.Since(began) != 100*time.Millisecond {
			t.Errorf("ack of %d after %v", m.Sequence, time.Since(began))
		}
		p.publish("orders", 51, 60)
		p.send(`{"c":"flush","cid":"1","a":"persisted"}`)
		p.awaitPersisted(60, "")
		p.expect(`{"c":"ack","cid":"1","a":"persisted","status":"success"}`)
	})
}

// The waiting logon of a plain client is answered when the peer acknowledges the last message, not
// at the next periodic check.
func TestPlainLogonIsAnsweredByTheAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, p := publishedPair(t)
		const takes = 1030 * time.Millisecond
		diskOf(pair.B).SetSyncDelay(takes)
		began := time.Now()
		p.publish("orders", 3, 3)
		synctest.Wait()
		p.close()
		p = dial(t, pair.A)
		p.send(`{"c":"logon","cid":"0","client_name":"pubber","a":"processed"}`)
		p.next()
		if took := time.Since(began); took != takes {
			t.Errorf("answered after %v, the peer's disk took %v", took, takes)
		}
	})
}
