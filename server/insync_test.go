package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// adminPair starts a pair with admin ports.
func adminPair(t *testing.T, opts ...servertest.Option) *servertest.Pair {
	return servertest.NewPair(t, append(opts, servertest.Config(func(c *server.Config) { c.Admin.Listen = c.Name + ":8085" }))...)
}

// getAdmin requests a path of the admin port and decodes the response.
func getAdmin(t *testing.T, i *servertest.Instance, path string, into any) (code int) {
	t.Helper()
	c := dialAdmin(t, i)
	defer c.conn.Close()
	c.bytes("GET " + path + " HTTP/1.0\r\n\r\n")
	r, err := http.ReadResponse(newBufio(c.conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if into != nil {
		if err := json.NewDecoder(r.Body).Decode(into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return r.StatusCode
}

// wantInSync requires what /insync says: an empty code, or the code of the reason why not.
func wantInSync(t *testing.T, i *servertest.Instance, when, want string) {
	t.Helper()
	var is server.InSync
	code := getAdmin(t, i, "/insync", &is)
	if is.Code != want || is.InSync != (want == "") || (code == 200) != (want == "") || code != 200 && code != 503 || (is.Reason == "") != (want == "") || is.Name == "" {
		t.Errorf("%s: %s says %d %+v, want %q", when, i.Name(), code, is, want)
	}
	if st := i.Server().Status(); st.InSync != is {
		t.Errorf("%s: the status says %+v, /insync %+v", when, st.InSync, is)
	}
}

// awaitInSync waits until /insync says so.
func awaitInSync(t *testing.T, i *servertest.Instance, want string) {
	t.Helper()
	for range 1000 {
		var is server.InSync
		if getAdmin(t, i, "/insync", &is); is.Code == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("/insync of %s never says %q: %+v", i.Name(), want, i.Server().InSync())
}

// /insync says yes only while the instance has everything that was acknowledged and takes clients.
func TestInSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t, servertest.DowngradeAfter(2*time.Second))
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		awaitInSync(t, pair.A, "")
		awaitInSync(t, pair.B, "")

		pair.B.Kill()
		time.Sleep(5 * time.Second)
		wantInSync(t, pair.A, "b is away", server.NotInSyncPeerAway)
		p.publish("orders", 1, 20)
		p.awaitPersisted(20, "single")
		wantInSync(t, pair.A, "a acknowledges alone", server.NotInSyncPeerAway)

		pair.Partition()
		pair.B.Restart()
		time.Sleep(time.Second)
		wantInSync(t, pair.B, "b waits for a", server.NotInSyncNotReady)
		pair.B.AwaitReady()
		wantInSync(t, pair.B, "b serves without a", server.NotInSyncPeerAway)
		pair.Heal()
		for pair.B.Server().InSync().Code != "" { // whenever it says so, it is true
			time.Sleep(10 * time.Millisecond)
		}
		if list := pair.B.Server().Publishers(0, 0).Publishers; len(list) != 1 || list[0].Durable != 20 {
			t.Errorf("b says that it is in sync, and has %+v", list)
		}
		awaitInSync(t, pair.A, "")
	})
}

// /insync says no while the instance stops: then it takes no clients any more.
func TestInSyncWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t)
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		awaitInSync(t, pair.A, "")
		diskOf(pair.B).SetSyncDelay(4 * time.Second) // so that acks are outstanding
		p.publish("orders", 1, 1)
		time.Sleep(500 * time.Millisecond)
		stopped := shutDown(pair.A.Server())
		time.Sleep(500 * time.Millisecond)
		wantInSync(t, pair.A, "a drains", server.NotInSyncStopping)
		var r server.Readiness
		if code := getAdmin(t, pair.A, "/readyz", &r); code != 503 || r.Reason != "it stops" {
			t.Errorf("/readyz: %d %+v", code, r)
		}
		if code := getAdmin(t, pair.A, "/livez", nil); code != 200 {
			t.Errorf("/livez: %d", code)
		}
		<-stopped
	})
}

// /insync says no while the disk is nearly full: clients could not publish here.
func TestInSyncOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t)
		dial(t, pair.A).awaitLink(pair.A)
		awaitInSync(t, pair.A, "")
		diskOf(pair.A).SetCapacity(1 << 20)
		time.Sleep(time.Minute)
		wantInSync(t, pair.A, "the disk is full", server.NotInSyncDiskFull)
		if st := pair.A.Server().Status(); !st.Disk.PublishesRefused || st.Disk.Free >= st.Disk.Reserve || st.Disk.Total == 0 || !hasEvent(st, server.EventDiskLow, "") {
			t.Errorf("disk %+v, events %+v", st.Disk, st.Events)
		}
		wantInSync(t, pair.B, "the disk of a is full", "")
	})
}

// An instance that is alone, and one with asynchronous links only, never say that they are in sync.
func TestInSyncByRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := adminInstance(t)
		i.AwaitReady()
		wantInSync(t, i, "it is alone", server.NotInSyncAlone)
		if st := i.Server().Status(); st.Role != server.RoleAlone {
			t.Errorf("role %q", st.Role)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t, servertest.Config(func(c *server.Config) { c.Replication.Destinations[0].Ack = "async" }))
		time.Sleep(5 * time.Second)
		wantInSync(t, pair.A, "all links are asynchronous", server.NotInSyncAsync)
		if st := pair.A.Server().Status(); st.Role != server.RoleAsync {
			t.Errorf("role %q", st.Role)
		}
	})
}

// An instance with a damaged journal says no until its peer has healed it.
func TestInSyncWithDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t)
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 9)
		p.awaitPersisted(9, "")
		pair.A.Close()
		flipSome(t, diskOf(pair.A))
		pair.Partition()
		pair.A.Restart()
		time.Sleep(time.Second)
		wantInSync(t, pair.A, "a is damaged", server.NotInSyncDamaged)
		pair.Heal()
		awaitInSync(t, pair.A, "")
	})
}

// hasEvent reports whether a status has an event.
func hasEvent(st server.Status, kind, subject string) bool {
	return slices.ContainsFunc(st.Events, func(e server.Event) bool {
		return e.Kind == kind && e.Subject == subject && e.Text != "" && e.Count > 0 && !e.Time.IsZero()
	})
}

// The status has the events of an outage, in order.
func TestStatusEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t, servertest.DowngradeAfter(2*time.Second))
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		pair.B.Kill()
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "single")
		pair.B.Restart()
		pair.B.AwaitReady()
		p.awaitPersisted(1, "")
		synctest.Wait() // the ack may come before the event of the catch-up
		var st server.Status
		getAdmin(t, pair.A, "/status", &st)
		var got []string
		for n, e := range st.Events {
			got = append(got, strings.TrimSuffix(e.Kind+" "+e.Subject, " "))
			if e.Number != uint64(n+1) || e.Count != 1 || e.Text == "" {
				t.Errorf("%+v", e)
			}
		}
		want := []string{"started", "peer_back b", "ready", "peer_lost b", "single_began b", "peer_back b", "single_ended b", "catch_up_done b"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// The status has the newest events only. Equal ones in a row count as one.
func TestStatusEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Users(servertest.User{Name: "gw", Password: "secret"}))
		for n := range 20 {
			c := dial(t, i)
			c.send(fmt.Sprintf(`{"c":"logon","cid":"1","client_name":"c","user_id":"user %d %s"}`, n, strings.Repeat("x", 1000)))
			time.Sleep(10 * time.Second)
		}
		st := i.Server().Status()
		refused := slices.DeleteFunc(st.Events, func(e server.Event) bool { return e.Kind != server.EventUserRefused })
		if len(refused) != 1 || refused[0].Count != 20 || !strings.HasPrefix(refused[0].Subject, "user 19 ") || len(refused[0].Subject) > 250 {
			t.Errorf("%+v", refused)
		}
	})
}

// The status shows the subscription and the publisher that lag, and pages list all of them.
func TestStatusOfLaggards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t, servertest.DowngradeAfter(2*time.Second))
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		reader, sleeper := dial(t, pair.A), dial(t, pair.A)
		reader.logon("reader")
		sleeper.logon("sleeper")
		for n := range 3 {
			reader.send(fmt.Sprintf(`{"c":"subscribe","cid":"s%d","t":"orders","bm":"0"}`, n))
		}
		sleeper.send(`{"c":"subscribe","cid":"s","t":"orders","bm":"0"}`)
		time.Sleep(time.Second)
		const messages = 3000
		publish := func(from, to uint64) {
			for n := from; n <= to; n++ {
				p.send(fmt.Sprintf(`{"c":"p","t":"orders","a":"persisted","s":%d}`, n), strings.Repeat("x", 1000))
			}
		}
		go io.Copy(io.Discard, reader.conn)
		go io.Copy(io.Discard, p.conn)
		publish(1, messages)
		time.Sleep(time.Second)
		pair.B.Kill()
		time.Sleep(time.Second)
		publish(messages+1, messages+10)
		time.Sleep(5 * time.Second)
		var st server.Status
		getAdmin(t, pair.A, "/status", &st)
		subs := st.Subscriptions
		if subs.Total != 4 || subs.Behind != 1 || len(subs.Worst) != 1 || subs.Worst[0].Client != "sleeper" || subs.Worst[0].ID != "s" || subs.Worst[0].Topic != "orders" ||
			subs.Worst[0].RecordsBehind < 100 || subs.Worst[0].RecordsBehind > messages+10 || subs.Worst[0].BytesBehind < 100_000 || subs.Worst[0].BehindMS < 5000 || subs.Worst[0].BehindMS > 10_000 {
			t.Errorf("%+v", subs)
		}
		w := st.Waiting
		if w.Publishers != 1 || w.Messages != 10 || w.OldestMS != 5000 || len(w.Worst) != 1 || w.Worst[0].Client != "gw" || w.Worst[0].OldestUnacknowledged != messages+1 ||
			w.Worst[0].OldestWaitMS != 5000 || w.Worst[0].Settled != messages+10 || w.Worst[0].Safe != 0 {
			t.Errorf("%+v", w)
		}
		var got []string
		for next, more := "", true; more; {
			var list server.SubscriptionList
			getAdmin(t, pair.A, "/status?list=subscriptions&limit=2&after="+strings.ReplaceAll(next, "\x00", "%00"), &list)
			if len(list.Subscriptions) == 0 || len(list.Subscriptions) > 2 {
				t.Fatalf("%+v", list)
			}
			for _, s := range list.Subscriptions {
				got = append(got, s.Client+" "+s.ID)
			}
			next, more = list.Next, list.More
		}
		if want := []string{"reader s0", "reader s1", "reader s2", "sleeper s"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		var publishers server.PublisherList
		if getAdmin(t, pair.A, "/status?list=publishers", &publishers); len(publishers.Publishers) != 1 || publishers.Publishers[0] != w.Worst[0] {
			t.Errorf("%+v", publishers)
		}
		if code := getAdmin(t, pair.A, "/status?list=nothing", nil); code != http.StatusBadRequest {
			t.Errorf("an unknown list: %d", code)
		}
	})
}

// The response of /status has a bounded number of degraded intervals, and pages list all of them.
func TestDegradedPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := adminPair(t, servertest.DowngradeAfter(time.Second))
		p := dial(t, pair.A)
		p.awaitLink(pair.A)
		p.logonExt("gw", "life", 1, 0)
		const outages = 25
		for n := range uint64(outages) {
			pair.Partition()
			p.publish("orders", n+1, n+1)
			p.awaitPersisted(n+1, "single")
			pair.Heal()
			p.awaitPersisted(n+1, "")
			time.Sleep(10 * time.Second)
		}
		var st server.Status
		getAdmin(t, pair.A, "/status", &st)
		if len(st.Degraded) != 20 || st.DegradedTotal != outages {
			t.Fatalf("%d of %d intervals", len(st.Degraded), st.DegradedTotal)
		}
		var all []server.DegradedInterval
		for next, more := "", true; more; {
			var page struct {
				Degraded []server.DegradedInterval
				More     bool
				Next     string
			}
			getAdmin(t, pair.A, "/status?list=degraded&limit=7&after="+strings.ReplaceAll(next, " ", "+"), &page)
			all = append(all, page.Degraded...)
			next, more = page.Next, page.More
		}
		if len(all) != outages {
			t.Fatalf("%d intervals", len(all))
		}
		for n, d := range all { // newest first
			if d.Publishers != 1 || len(d.Ranges) != 1 || d.Ranges[0].To != uint64(outages-n) || d.End.IsZero() {
				t.Errorf("%d: %+v", n, d)
			}
		}
	})
}
