package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// outage returns the report of a pair at a time when one instance is away.
func outage(at time.Time) (report *statusReport, lists []publisherList) {
	a := &server.Status{
		Name: "a", Group: "pair", Version: "1.2.3", Cluster: "0a1b2c3d4e5f", Intact: true, Ready: true, Single: true, Sync: client.SyncSingle, Publishers: 12, JournalBytes: 64 << 20,
		Sessions: []server.SessionStatus{{Name: "order-gateway", Publisher: 7, Subscriptions: 0}, {Name: "desk", Subscriptions: 2}},
		Links: []server.LinkStatus{{Peer: "b", Sync: true, Outbound: true, State: "down", Ack: "downgraded", Reason: "dial b: \x1b[31mrefused",
			OldestWaitMS: 6525, LinkCounts: server.LinkCounts{Unacknowledged: 3261, Sent: 20973, Downgrades: 2}}},
		Degraded: []server.DegradedInterval{
			{Destination: "b", Begin: at.Add(-4 * time.Hour), End: at.Add(-3 * time.Hour), Ranges: []server.DegradedRange{{Publisher: 7, From: 1, To: 2}}},
			{Destination: "b", Begin: at.Add(-1500 * time.Millisecond), Ranges: make([]server.DegradedRange, 2)},
		},
		Logons: 3, Published: 1234567, Duplicates: 4, DiskFull: 1, LogDropped: 1200,
		AuthFailures: 5, NotEntitled: 6, Paused: 7, AuditDropped: 8,
		Users:        &server.UsersStatus{Version: 12, Hash: "89abcdef01234567", Differ: []string{"b"}},
		Certificates: []server.CertificateStatus{{Field: "clients.tls", DaysLeft: 90}, {Field: "replication.tls", DaysLeft: 13}},
	}
	return &statusReport{Time: at, Instances: []instanceReport{{Address: "one:8085", Status: a}, {Address: "two:8086", Error: "nothing listens there"}}}, make([]publisherList, 2)
}

// The screen of status is right for a pair with one instance away, and for a pair that
// is well.
func TestStatusScreen(t *testing.T) {
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	var got bytes.Buffer
	show := func(r *statusReport, lists []publisherList) {
		r.Publishers = comparePublishers(r.Instances, lists)
		r.findProblems()
		r.print(&output{out: &got}, false)
		got.WriteString("\n----\n")
	}
	r, lists := outage(at)
	show(r, lists)

	well := func(name, peer string) *server.Status {
		return &server.Status{Name: name, Group: "pair", Version: "1.2.3", Cluster: "0a1b2c3d4e5f", Intact: true, Ready: true, Sync: client.SyncOK, Publishers: 3, JournalBytes: 1 << 20,
			Links: []server.LinkStatus{{Peer: peer, Sync: true, Outbound: true, Inbound: true, State: "sync", Ack: "counting", LinkCounts: server.LinkCounts{Unacknowledged: 1, Sent: 5, Received: 6}}}}
	}
	r = &statusReport{Time: at, Instances: []instanceReport{{Address: "one:8085", Status: well("a", "b")}, {Address: "two:8086", Status: well("b", "a")}}}
	r.Instances[0].Status.Sessions = []server.SessionStatus{{Name: "order gateway", Publisher: 9}}
	r.Instances[0].Status.Users = &server.UsersStatus{Version: 12, Hash: "89abcdef01234567"}
	r.Instances[1].Status.Users = &server.UsersStatus{Version: 12, Hash: "89abcdef01234567"}
	r.Instances[0].Status.Certificates = []server.CertificateStatus{{Field: "clients.tls", DaysLeft: 90}}
	lists = []publisherList{
		{publishers: []server.PublisherStatus{{Publisher: 7, Have: 5, Durable: 5, Safe: 5}, {Publisher: 9, Have: 12, Durable: 11, Safe: 10}}},
		{publishers: []server.PublisherStatus{{Publisher: 7, Have: 5, Durable: 5, Safe: 5, Floor: 3}, {Publisher: 8, Have: 1, Durable: 1}, {Publisher: 9, Have: 11, Durable: 11, Safe: 10}}},
	}
	show(r, lists)

	r, lists = groupOfThree(at)
	show(r, lists)
	golden(t, "status", got.String())
}

// groupOfThree returns the report of a pair with an asynchronous third instance, at a time when one
// of the pair catches up.
func groupOfThree(at time.Time) (r *statusReport, lists []publisherList) {
	link := func(peer string, sync, in, out bool, state string) server.LinkStatus {
		l := server.LinkStatus{Peer: peer, Sync: sync && out, Outbound: out, Inbound: in, State: state}
		l.InboundSync, l.StateThere = sync && in, state
		if l.Sync {
			l.Ack = "counting"
		}
		if in {
			l.Receiving = &server.Headway{}
		}
		if out {
			l.Sending = &server.Headway{}
		}
		return l
	}
	instance := func(name string, role server.Role, sync client.SyncStatus, links ...server.LinkStatus) instanceReport {
		return instanceReport{Address: name + ":8085", Status: &server.Status{
			Name: name, Group: "g", Version: "1.2.3", Cluster: "0a1b2c3d4e5f", Intact: true, Ready: true, Role: role, Sync: sync, Single: sync != client.SyncOK,
			Publishers: 3, Links: links, InSync: server.InSync{Name: name, InSync: true},
		}}
	}
	a := instance("a", server.RoleSync, client.SyncSingle, link("b", true, true, true, "catching-up"), link("c", false, false, true, "live"))
	b := instance("b", server.RoleSync, client.SyncOK, link("a", true, true, true, "sync"), link("c", false, false, true, "live"))
	c := instance("c", server.RoleAsync, client.SyncAsync, link("a", false, true, false, "live"), link("b", false, true, false, "live"))
	toB, fromA := &a.Status.Links[0], &b.Status.Links[0]
	toB.Ack, toB.Unacknowledged, toB.OldestWaitMS = "downgraded", 300_000, 60_000
	toB.Sending = &server.Headway{Remaining: 123_456, Rate: 45_000, LeftMS: 2743}
	fromA.StateThere, fromA.Receiving = "left-out", &server.Headway{Remaining: 124_000, Rate: 44_000, LeftMS: 2800}
	b.Status.InSync = server.InSync{Name: "b", Code: server.NotInSyncLeftOut, Peer: "a", Reason: "a acknowledges messages without this instance: about 124000 records to come, 3s left"}
	c.Status.InSync = server.InSync{Name: "c", Code: server.NotInSyncAsync, Reason: "no peer's acks wait for this instance"}
	c.Status.Links[1].Receiving = &server.Headway{Remaining: 2, Rate: 10, LeftMS: -1}
	publishers := func(have ...uint64) (l publisherList) {
		for n, h := range have {
			l.publishers = append(l.publishers, server.PublisherStatus{Publisher: uint64(n + 1), Have: h, Durable: h, Safe: h})
		}
		return l
	}
	return &statusReport{Time: at, Instances: []instanceReport{a, b, c}},
		[]publisherList{publishers(5, 9, 1), publishers(5, 7, 1), publishers(4, 2)}
}

// The lines for scripts: the state, stable words, and an exit code for each state.
func TestStatusBrief(t *testing.T) {
	at := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	var got bytes.Buffer
	show := func(r *statusReport, state string, code int) {
		r.findProblems()
		r.printBrief(&output{out: &got})
		if r.State.String() != state || exitCode(r.briefError(), &got) != code {
			t.Errorf("%v, exit code %d, want %s, %d", r.State, exitCode(r.briefError(), &got), state, code)
		}
		got.WriteString("\n")
	}
	r, _ := outage(at)
	show(r, "unreachable", exitUnreachable)
	r, _ = groupOfThree(at)
	show(r, "degraded", exitDegraded)
	r, _ = groupOfThree(at)
	r.Instances = r.Instances[2:] // the asynchronous one alone
	show(r, "ok", exitOK)
	r, _ = groupOfThree(at)
	r.Instances[2].Status.Damage, r.Instances[2].Status.Name = "bad record", "c c"
	show(r, "wrong", exitFault)
	r, _ = groupOfThree(at)
	r.Instances[1] = r.Instances[0]
	show(r, "wrong", exitFault)
	golden(t, "status_brief", got.String())
}

// Every kind of problem that passes by itself is one of the documented kinds.
func TestPassingKindsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("store_json.go")
	if err != nil {
		t.Fatal(err)
	}
	_, kinds, _ := strings.Cut(string(text), "kinds: ")
	kinds, _, _ = strings.Cut(kinds, "instances")
	for _, kind := range append(passing, "unreachable") {
		if !strings.Contains(kinds, kind+",") {
			t.Errorf("%s is not documented", kind)
		}
	}
}

// Each fault is a problem of its own kind and causes exit code 1.
func TestStatusProblems(t *testing.T) {
	pair := func() [2]*server.Status {
		link := func(peer string) []server.LinkStatus {
			return []server.LinkStatus{{Peer: peer, Sync: true, Outbound: true, Inbound: true, State: "sync", Ack: "counting"}}
		}
		return [2]*server.Status{
			{Name: "a", Group: "g", Cluster: "c", Intact: true, Ready: true, Links: link("b")},
			{Name: "b", Group: "g", Cluster: "c", Intact: true, Ready: true, Links: link("a")},
		}
	}
	for _, tt := range []struct {
		change func(a, b *server.Status)
		want   string // kinds
	}{
		{func(a, b *server.Status) {}, ""},
		{func(a, b *server.Status) { a.Ready, a.CatchingUp = false, true }, "not_ready"},
		{func(a, b *server.Status) { a.Ready, a.CatchingUp, a.Cluster, a.Intact = false, true, "", false }, "no_cluster"},
		{func(a, b *server.Status) { a.Intact = false }, "not_intact"},
		{func(a, b *server.Status) { a.Links[0].OtherCluster = true }, "other_cluster"},
		{func(a, b *server.Status) { a.Cluster = "d" }, "no_pair"},
		{func(a, b *server.Status) { b.CatchingUp = true }, "catching_up"},
		{func(a, b *server.Status) { b.Stopping, b.Ready = true, true }, "stopping"},
		{func(a, b *server.Status) { a.Damage = "log data: bad record" }, "damage"},
		{func(a, b *server.Status) { a.Full = true }, "full"},
		{func(a, b *server.Status) { a.ClockAheadMS = 90_000 }, "clock"},
		{func(a, b *server.Status) { a.Single = true }, "single"},
		{func(a, b *server.Status) { a.Single, a.Role = true, server.RoleAsync }, ""},
		{func(a, b *server.Status) {
			b.InSync = server.InSync{Code: server.NotInSyncLeftOut, Reason: "a acknowledges messages without this instance"}
		}, "lacks"},
		{func(a, b *server.Status) { b.InSync = server.InSync{Code: server.NotInSyncAsync, Reason: "async"} }, ""},
		{func(a, b *server.Status) { a.Refusing = []string{"publish gap", "of a later version"} }, "refusing refusing"},
		{func(a, b *server.Status) { b.Outdated = "b had no part in the decree" }, "outdated"},
		{func(a, b *server.Status) { a.Decree = &server.DecreeStatus{Incarnation: 1, Stands: true, Unseen: 1} }, "decree"},
		{func(a, b *server.Status) { a.Decree = &server.DecreeStatus{Incarnation: 1} }, ""},
		{func(a, b *server.Status) { a.Users = &server.UsersStatus{Differ: []string{"b"}} }, "users"},
		{func(a, b *server.Status) { a.Users = &server.UsersStatus{} }, "users"},
		{func(a, b *server.Status) { b.Users = &server.UsersStatus{} }, "users"},
		{func(a, b *server.Status) { a.Users, b.Users = &server.UsersStatus{}, &server.UsersStatus{} }, ""},
		{func(a, b *server.Status) {
			a.Users, b.Users = &server.UsersStatus{Version: 2, Hash: "aa"}, &server.UsersStatus{Version: 2, Hash: "bb"}
		}, "users"},
		{func(a, b *server.Status) {
			a.Users, b.Users = &server.UsersStatus{Version: 2, Hash: "aa"}, &server.UsersStatus{Version: 3, Hash: "aa"}
		}, "users"},
		{func(a, b *server.Status) {
			a.Users, b.Users = &server.UsersStatus{Hash: "aa", Differ: []string{"b"}}, &server.UsersStatus{Hash: "bb", Differ: []string{"a"}}
		}, "users users"},
		{func(a, b *server.Status) {
			b.Certificates = []server.CertificateStatus{{Field: "clients.tls", DaysLeft: 13}, {Field: "admin.tls", DaysLeft: 14}, {Field: "replication.tls", DaysLeft: -1}}
		}, "certificate certificate"},
		{func(a, b *server.Status) { a.Links[0].State = "down" }, "link_down"},
		{func(a, b *server.Status) { a.Links[0].State = "catching-up" }, "link_catching_up"},
		{func(a, b *server.Status) { a.Links[0].Rivals = true }, "rivals"},
		{func(a, b *server.Status) { a.Links[0].ClockSkewMS, a.Links[0].ClocksDisagree = -9000, true }, "clocks_disagree"},
		{func(a, b *server.Status) {
			a.Links[0].Inbound, b.Links[0].Outbound, b.Links[0].Sync = false, false, false
			a.Links[0].OneWay, b.Links[0].OneWay = true, true
		}, "one_way one_way"},
		{func(a, b *server.Status) { a.Single, a.Links[0].Ack = true, "downgraded" }, "single downgraded"},
		{func(a, b *server.Status) { a.Links[0].GivenUp = true }, "given_up"},
		{func(a, b *server.Status) { a.Links[0].Diverged = 1 }, "diverged"},
		{func(a, b *server.Status) { a.Diverged = []server.DivergedStatus{{Publisher: 7, From: 3, Have: 5}} }, "set_apart"},
		{func(a, b *server.Status) {
			a.Diverged = []server.DivergedStatus{{Publisher: 7, From: 3, Have: 5, Floor: 5}}
		}, ""},
		{func(a, b *server.Status) { b.Name = "a" }, "same_instance"},
		{func(a, b *server.Status) { b.Group = "h" }, "no_pair"},
		{func(a, b *server.Status) { a.Links, b.Links[0].Peer = nil, "c" }, "no_pair"},
	} {
		statuses := pair()
		tt.change(statuses[0], statuses[1])
		r := &statusReport{Instances: []instanceReport{{Status: statuses[0]}, {Status: statuses[1]}}}
		r.findProblems()
		var kinds []string
		for _, p := range r.Problems {
			kinds = append(kinds, p.Kind)
			if p.Text == "" {
				t.Errorf("%s says nothing", p.Kind)
			}
		}
		if got := strings.Join(kinds, " "); got != tt.want || r.Well != (tt.want == "") {
			t.Errorf("problems %q, well %v, want %q", got, r.Well, tt.want)
		}
	}
}

// Of several instances each must be another one of the same group, and linked with one of the others.
func TestStatusOfAGroup(t *testing.T) {
	for _, tt := range []struct {
		change func(c *server.Status)
		want   string // text of the problem
	}{
		{func(*server.Status) {}, ""},
		{func(c *server.Status) { c.Links = nil }, ""}, // a and b name it
		{func(c *server.Status) { c.Name = "d" }, ""},  // it names a and b
		{func(c *server.Status) { c.Name, c.Links = "d", nil }, "not a group: d and the others do not replicate to each other"},
		{func(c *server.Status) { c.Name = "a" }, "two addresses belong to a"},
		{func(c *server.Status) { c.Group = "h" }, "not a group: a is in group g, c in h"},
		{func(c *server.Status) { c.Cluster = "other" }, "not a group: a is in cluster 0a1b2c3d, c in other"},
	} {
		r, _ := groupOfThree(time.Time{})
		tt.change(r.Instances[2].Status)
		r.findProblems()
		var texts []string
		for _, p := range r.Problems {
			if isAboutGroup(p) {
				texts = append(texts, p.Text)
			}
		}
		if got := strings.Join(texts, "; "); got != tt.want && (tt.want == "" || !strings.HasPrefix(got, tt.want) || len(texts) != 1) {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// Incomplete lists of publishers are compared up to the id that both lists reach.
func TestCompareIncompleteLists(t *testing.T) {
	list := func(more bool, ids ...uint64) publisherList {
		l := publisherList{truncated: more}
		for _, id := range ids {
			l.publishers = append(l.publishers, server.PublisherStatus{Publisher: id, Have: 1, Durable: 1})
		}
		return l
	}
	instances := []instanceReport{{Status: &server.Status{Name: "a"}}, {Status: &server.Status{Name: "b"}}}
	for _, tt := range []struct {
		a, b                publisherList
		compared, differing int
		complete            bool
	}{
		{list(false, 1, 2), list(false, 1, 2), 2, 0, true},
		{list(false, 1, 2), list(false, 2, 3), 3, 2, true},
		{list(true, 1, 2), list(false, 1, 2, 3), 2, 0, false},
		{list(true, 1, 5), list(true, 1, 2), 2, 1, false}, // 2 is not on a
		{list(false), list(false), 0, 0, true},
	} {
		r := comparePublishers(instances, []publisherList{tt.a, tt.b})
		if r.Compared != tt.compared || r.Differing != tt.differing || r.Complete != tt.complete || len(r.List) != tt.differing {
			t.Errorf("%+v and %+v: %+v", tt.a, tt.b, r)
		}
	}
}

// running starts a pair with admin ports. It returns the addresses of these ports.
func running(t *testing.T) (pair *servertest.Pair, admin []string) {
	t.Helper()
	admin = []string{heldport.ForTest(t), heldport.ForTest(t)}
	pair = servertest.NewPair(t, servertest.Real(), servertest.Unstarted())
	for i, in := range []*servertest.Instance{pair.A, pair.B} {
		in.Configure(func(c *server.Config) { c.Admin.Listen = admin[i] })
		in.Restart()
	}
	pair.A.AwaitReady()
	pair.B.AwaitReady()
	return pair, admin
}

// await runs the command until its exit code is wanted, since links take time to come up.
func await(t *testing.T, wanted int, args ...string) (out string) {
	t.Helper()
	for range 2000 {
		var stdout, stderr bytes.Buffer
		code := run(args, &stdout, &stderr)
		if out = stdout.String() + stderr.String(); code == wanted {
			return out
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%v: exit code never was %d:\n%s", args, wanted, out)
	return ""
}

// status follows a real pair: it is well, then one instance is killed, then it is back.
func TestStatusOfARealPair(t *testing.T) {
	pair, admin := running(t)
	args := []string{"status", admin[0], "http://" + admin[1] + "/"}
	if out := await(t, exitOK, args...); !strings.Contains(out, "all is well") || !strings.Contains(out, "<-> b: sync, counting") {
		t.Errorf("well:\n%s", out)
	}
	if out := await(t, exitOK, "status", admin[0]); strings.Contains(out, "compared") {
		t.Errorf("one alone:\n%s", out)
	}
	await(t, exitOK, "status", admin[0], "--timeout=2s", admin[1]) // words and flags in any order
	brief := ""
	for strings.Count(brief, "in_sync=yes") < 2 { // it takes a heartbeat of each
		brief = await(t, exitOK, append(args, "--brief")...)
	}
	if strings.Count(brief, "\n") != 2 || !strings.HasPrefix(brief, "a ok address="+admin[0]+" role=sync sync=sync in_sync=yes lacks=0 left=0s problems=-\n") {
		t.Errorf("brief:\n%s", brief)
	}
	pair.B.Kill()
	if out := await(t, exitUnreachable, append(args, "--brief")...); !strings.Contains(out, "\n- unreachable address="+admin[1]+" ") {
		t.Errorf("brief:\n%s", out)
	}
	await(t, exitDegraded, "status", admin[0], "--brief")
	out := await(t, exitFault, args...)
	for _, want := range []string{"DOES NOT ANSWER", admin[1] + ": nothing listens there", "publishers not compared"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var r statusReport
	out = await(t, exitFault, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if r.Well || len(r.Instances) != 2 || r.Instances[0].Status == nil || r.Instances[1].Status != nil || r.Instances[1].Error == "" {
		t.Errorf("as JSON: %s", out)
	}
	pair.B.Restart()
	await(t, exitOK, args...)
}

// status distinguishes an address where something else listens from one that does not
// answer.
func TestStatusOfOtherAddresses(t *testing.T) {
	pair, _ := running(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer page.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct{ name, address, want string }{
		{"the port for clients", pair.A.Addr(), "looks like a port for clients or peers ('clients.listen', 'replication.listen'), but status needs that of 'admin.listen'"},
		{"another web server", other.URL, "not an admin endpoint: it answers 404 Not Found to /status: use the port of 'admin.listen'"},
		{"a web page", page.URL, "its answer to /status is not that of an instance"},
		{"a stopped process", silent.Addr().String(), "no answer within 200ms: its process is stopped or its machine is unreachable; raise --timeout to wait longer"},
	} {
		if out := await(t, exitFault, "status", "--timeout=200ms", tt.address); !strings.Contains(out, tt.want) {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, out)
		}
	}
}

// status does not read an endless answer for ever.
func TestStatusBounded(t *testing.T) {
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	if out := await(t, exitFault, "status", "--timeout=1m", endless.URL); !strings.Contains(out, "the answer to /status is larger than 64 MiB") {
		t.Error(out)
	}
}

// A stopWriter ends a watch after a number of screens.
type stopWriter struct {
	seen    bytes.Buffer
	screens int
	stop    func()
}

func (w *stopWriter) Write(p []byte) (int, error) {
	if w.screens--; w.screens == 0 {
		w.stop()
	}
	return w.seen.Write(p)
}

// status --watch asks again and again, and its exit code is that of the last report.
func TestStatusWatch(t *testing.T) {
	_, admin := running(t)
	await(t, exitOK, "status", admin[0], admin[1])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &stopWriter{screens: 3, stop: cancel}
	c := &statusCommand{Admin: adminAddress(admin[0]), Others: []adminAddress{adminAddress(admin[1])}, Watch: optionalInterval{true, time.Millisecond}, JSON: true}
	if err := c.watch(ctx, &output{out: w}, newAdminClient(3*time.Second, nil)); err != nil {
		t.Errorf("watch returns %v", err)
	}
	if lines := strings.Split(strings.TrimSpace(w.seen.String()), "\n"); len(lines) != 3 || slices.ContainsFunc(lines, func(l string) bool { return !json.Valid([]byte(l)) }) {
		t.Errorf("%d lines:\n%s", len(lines), w.seen.String())
	}
	if got := redraw("a\nb\n"); got != "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J" {
		t.Errorf("%q", got)
	}
}
