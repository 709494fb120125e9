package client

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestBegin(t *testing.T) {
	for _, tt := range []struct {
		name string
		life pubstore.Life
		old  bool
		a    logonAnswer
		want beginning
	}{
		{"first logon", pubstore.Life{Last: 3, Kept: 3}, false, logonAnswer{ext: true}, beginning{}},
		{"lets go of what is safe", pubstore.Life{Last: 9, Kept: 9}, false, logonAnswer{ext: true, safe: 4, have: 6}, beginning{letGo: 4, after: 4}},
		{"safe has fallen", pubstore.Life{Acked: 5, Last: 9, Kept: 4}, false, logonAnswer{ext: true, safe: 0, have: 6}, beginning{}},
		{"the server lacks what was let go", pubstore.Life{Acked: 5, Last: 9}, false, logonAnswer{ext: true, have: 4}, beginning{gap: true}},
		{"the same in a former life", pubstore.Life{Acked: 5, Last: 9}, true, logonAnswer{ext: true, have: 4}, beginning{gap: true}},
		{"have is enough", pubstore.Life{Acked: 5, Last: 9}, false, logonAnswer{ext: true, have: 5}, beginning{}},
		{"rolled back", pubstore.Life{Acked: 5, Last: 9}, false, logonAnswer{ext: true, safe: 12, have: 12}, beginning{rolledBack: true, letGo: 5, after: 5}},
		{"a former life was rolled back before", pubstore.Life{Last: 9}, true, logonAnswer{ext: true, safe: 12, have: 12}, beginning{}},
		{"plain, base from the clock", pubstore.Life{Last: 3}, false, logonAnswer{safe: 41, clock: 1000}, beginning{base: 1000}},
		{"plain, base from the server", pubstore.Life{Last: 3}, false, logonAnswer{safe: 2000, clock: 1000}, beginning{base: 2000}},
		{"plain, base kept", pubstore.Life{Last: 3, Base: 1000}, false, logonAnswer{safe: 1002, clock: 7}, beginning{letGo: 2, after: 2}},
		{"plain, before the base", pubstore.Life{Last: 3, Base: 1000}, false, logonAnswer{safe: 999}, beginning{}},
		{"plain, rolled back", pubstore.Life{Last: 3, Base: 1000}, false, logonAnswer{safe: 1004}, beginning{rolledBack: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPublisher([]pubstore.Life{tt.life}, 10, 1000)
			p.expect(tt.life, tt.old)
			if got := p.begin(tt.life, tt.a); got != tt.want {
				t.Errorf("begin = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A server has of a life what was not sent by this process: a copy of the
// store did it, or may have, since another process used the name. What is kept
// goes out one by one, and an ack counts for what it answers only (R11).
func TestDoubt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		inUse bool
		sent  uint64
		have  uint64
	}{
		{"never sent", false, 2, 5},
		{"perhaps not taken", true, 5, 5},
		{"more than there is", false, 7, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			life := pubstore.Life{ID: "a", Acked: 2, Last: 7, Kept: 5}
			p := newPublisher([]pubstore.Life{{ID: "a", Acked: 2, Last: tt.sent}}, 100, 1<<20)
			p.expect(life, false)
			if tt.inUse {
				p.nameInUse()
			}
			if b := p.begin(life, logonAnswer{ext: true, safe: tt.have, have: tt.have}); b.letGo != 2 || b.after != 2 || b.rolledBack == tt.inUse {
				t.Fatalf("begin = %+v", b)
			}
			for s := uint64(3); s <= min(tt.have, life.Last); s++ {
				p.write(s, 10)
				if want := s == tt.have; p.room() != want {
					t.Errorf("room behind %d: %v, want %v", s, p.room(), want)
				}
				if e := p.persisted(tt.have, false); e.letGo != s {
					t.Errorf("an ack up to %d in answer to %d lets go up to %d", tt.have, s, e.letGo)
				}
			}
		})
	}
}

func began(life pubstore.Life, a logonAnswer) *publisher {
	p := newPublisher([]pubstore.Life{life}, 100, 1<<20)
	p.expect(life, false)
	p.begin(life, a)
	return p
}

func TestPersisted(t *testing.T) {
	p := began(pubstore.Life{ID: "a"}, logonAnswer{ext: true})
	for s := range uint64(5) {
		p.write(s+1, 10)
	}
	for _, tt := range []struct {
		name     string
		sequence uint64
		single   bool
		want     ackEffect
		settled  uint64
		inFlight int
	}{
		{"safe", 2, false, ackEffect{letGo: 2, moved: true, inSync: true}, 2, 3},
		{"twice", 2, false, ackEffect{inSync: true}, 2, 3},
		{"late", 1, false, ackEffect{inSync: true}, 2, 3},
		{"single keeps", 4, true, ackEffect{single: 4, moved: true, degraded: true}, 4, 1},
		{"safe behind single", 3, false, ackEffect{letGo: 3, moved: true}, 4, 1},
		{"safe again", 4, false, ackEffect{letGo: 4, moved: true, inSync: true, restored: true}, 4, 1},
		{"beyond what was sent", 1000, false, ackEffect{letGo: 5, moved: true, inSync: true}, 5, 0},
	} {
		got := p.persisted(tt.sequence, tt.single)
		if got != tt.want || p.current.settled != tt.settled || p.flight.n != tt.inFlight {
			t.Errorf("%s: persisted(%d, %v) = %+v, settled %d, in flight %d; want %+v, %d, %d",
				tt.name, tt.sequence, tt.single, got, p.current.settled, p.flight.n, tt.want, tt.settled, tt.inFlight)
		}
	}
	p.write(6, 10)
	if p.current.settled != 5 {
		t.Errorf("the ack beyond settled what was sent later: %d", p.current.settled)
	}
}

func TestRejectSettlesWhenTold(t *testing.T) {
	p := began(pubstore.Life{ID: "a"}, logonAnswer{ext: true})
	for s := range uint64(3) {
		p.write(s+1, 10)
	}
	if _, ok := p.reject(4); ok {
		t.Error("rejection of what was never sent was taken")
	}
	if n, ok := p.reject(2); n != 2 || !ok {
		t.Fatalf("reject(2) = %d, %v", n, ok)
	}
	if _, ok := p.reject(2); ok {
		t.Error("the second rejection of the same message was taken")
	}
	p.persisted(3, false)
	if p.current.settled != 1 || p.quiet("a", 3) {
		t.Errorf("settled %d before the handler was told, want 1", p.current.settled)
	}
	p.told("a", 2)
	if p.current.settled != 3 || !p.quiet("a", 3) {
		t.Errorf("settled %d after it, want 3", p.current.settled)
	}
}

func TestRejectedLastMessageIsSettled(t *testing.T) {
	p := began(pubstore.Life{ID: "a"}, logonAnswer{ext: true})
	p.write(1, 10)
	p.write(2, 10)
	p.reject(2)
	p.told("a", 2)
	p.persisted(1, false)
	if p.current.settled != 2 {
		t.Errorf("settled %d, want 2: nothing is outstanding", p.current.settled)
	}
}

func TestWindow(t *testing.T) {
	p := newPublisher(nil, 2, 100)
	p.expect(pubstore.Life{ID: "a"}, false)
	p.begin(pubstore.Life{ID: "a"}, logonAnswer{ext: true})
	p.write(1, 500)
	if p.room() {
		t.Error("room beyond the bytes")
	}
	if e := p.persisted(1, true); !e.opened {
		t.Error("a single ack must open the window")
	}
	p.write(2, 1)
	p.write(3, 1)
	if p.room() {
		t.Error("room beyond the messages")
	}
}

// TestPublisherModel runs the core against a server that forgets, loses its
// connection, acknowledges late, twice and too much, and against a dumb store.
func TestPublisherModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const life = "a"
		p := newPublisher(nil, 4, 1000)
		var last, acked, have, safe, cursor, settled uint64 // have, safe: the server's
		kept := map[uint64]bool{}
		logon := func() {
			l := pubstore.Life{ID: life, Acked: acked, Last: last, Kept: len(kept)}
			p.expect(l, false)
			b := p.begin(l, logonAnswer{ext: true, safe: safe, have: have})
			if b.gap || b.rolledBack {
				t.Fatalf("begin = %+v", b)
			}
			for s := range kept {
				if s <= b.letGo {
					delete(kept, s)
				}
			}
			acked, cursor = max(acked, b.letGo), b.after
		}
		logon()
		t.Repeat(map[string]func(*rapid.T){
			"publish":   func(*rapid.T) { last++; kept[last] = true },
			"reconnect": func(*rapid.T) { logon() },
			"send": func(*rapid.T) {
				next := cursor + 1
				for next <= last && !kept[next] {
					next++
				}
				if next > last || !p.room() {
					return
				}
				cursor = next
				p.write(next, 1)
				if next > have+1 {
					t.Fatalf("sent %d, the server has %d: a hole", next, have)
				}
				have = max(have, next)
			},
			"harden": func(t *rapid.T) { safe = max(safe, rapid.Uint64Range(0, have).Draw(t, "safe")) },
			"ack": func(t *rapid.T) {
				e := p.persisted(rapid.Uint64Range(0, safe).Draw(t, "s"), false)
				for s := range kept {
					if s <= e.letGo {
						delete(kept, s)
					}
				}
				acked = max(acked, e.letGo)
			},
			"single": func(t *rapid.T) {
				if e := p.persisted(rapid.Uint64Range(0, have).Draw(t, "s"), true); e.letGo > 0 {
					t.Fatal("let go on a single ack")
				}
			},
			"": func(t *rapid.T) {
				if acked > safe {
					t.Fatalf("let go up to %d, safe is %d", acked, safe)
				}
				if p.flight.n > 4 {
					t.Fatalf("%d in flight", p.flight.n)
				}
				g := p.of(life)
				if g.settled > have || g.settled < settled {
					t.Fatalf("settled %d, before %d, the server has %d", g.settled, settled, have)
				}
				settled = g.settled
			},
		})
	})
}

func TestVisit(t *testing.T) {
	lives := []pubstore.Life{{ID: "1", Kept: 2}, {ID: "2"}, {ID: "3", Kept: 1}, {ID: "4"}}
	var v visit
	var got []string
	for {
		l, old := v.next(lives)
		got = append(got, l.ID)
		if !old {
			break
		}
		v.settled(l.ID, l.ID == "1")
	}
	if !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("lives in the order %v", got)
	}
	for _, tt := range []struct {
		inSync bool
		since  time.Duration
		again  int
		kept   int // of life 3, which is settled
		want   bool
	}{
		{true, againSpacing - 1, 0, 1, false},
		{true, againSpacing, 0, 1, true},
		{false, againSpacing, 0, 1, false},
		{true, gapSpacing - 1, 0, 0, false}, // life 1 was refused as a gap
		{false, gapSpacing, 0, 0, true},
		{false, 4*gapSpacing - 1, 2, 0, false},
		{false, 4 * gapSpacing, 2, 0, true},
		{false, gapSpacing << maxGapSpacing, 1000, 0, true},
	} {
		lives[2].Kept, v.again = tt.kept, tt.again
		if got := v.due(lives, tt.inSync, tt.since); got != tt.want {
			t.Errorf("%+v: due %v", tt, got)
		}
	}
	lives[0].Kept = 0
	if v.due(lives, true, time.Hour) {
		t.Error("nothing is kept, and something is due")
	}
}

func TestFinished(t *testing.T) {
	p := began(pubstore.Life{ID: "a", Last: 2, Kept: 2}, logonAnswer{ext: true})
	p.write(1, 1)
	p.exhausted()
	p.persisted(1, true)
	if p.finished() {
		t.Error("the current life never finishes")
	}
	p.renewed()
	if p.finished() {
		t.Error("finished before the store said that there is nothing more")
	}
	p.write(2, 1)
	p.exhausted()
	if p.finished() {
		t.Error("finished with a message in flight")
	}
	p.persisted(2, true)
	if !p.finished() {
		t.Error("a former life is finished when it is settled, also single")
	}
}

func TestOrder(t *testing.T) {
	half := func() float64 { return 0.5 }
	const ms = 1_000_000
	type step struct {
		last   ending
		server int
		delay  int64
	}
	for _, tt := range []struct {
		name   string
		n      int
		prefer bool
		steps  []step
	}{
		{"every server once before any delay", 3, false, []step{
			{endNone, 0, 0}, {endFailed, 1, 0}, {endFailed, 2, 0}, {endFailed, 0, 25 * ms}, {endFailed, 1, 50 * ms}, {endFailed, 2, 100 * ms},
		}},
		{"stays until failure, then the next; delays start over", 2, false, []step{
			{endNone, 0, 0}, {endFailed, 1, 0}, {endFailed, 0, 25 * ms}, {endStable, 1, 0}, {endFailed, 0, 0}, {endFailed, 1, 25 * ms},
		}},
		{"an unstable connection does not start over", 1, false, []step{
			{endNone, 0, 0}, {endFailed, 0, 25 * ms}, {endFailed, 0, 50 * ms}, {endStable, 0, 0}, {endFailed, 0, 25 * ms},
		}},
		{"grows to the most", 1, false, []step{
			{endNone, 0, 0}, {endFailed, 0, 25 * ms}, {endFailed, 0, 50 * ms}, {endFailed, 0, 100 * ms}, {endFailed, 0, 200 * ms},
			{endFailed, 0, 400 * ms}, {endFailed, 0, 800 * ms}, {endFailed, 0, 1600 * ms}, {endFailed, 0, 2500 * ms}, {endFailed, 0, 2500 * ms},
		}},
		{"priority begins at the first, the lost one last", 3, true, []step{
			{endNone, 0, 0}, {endFailed, 1, 0}, {endStable, 0, 0}, {endStable, 1, 0}, {endFailed, 2, 0}, {endFailed, 0, 0},
		}},
		{"priority goes back", 2, true, []step{{endNone, 0, 0}, {endFailed, 1, 0}, {endPlanned, 0, 0}, {endFailed, 1, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrder(tt.n, tt.prefer, half, stillClock{})
			for i, s := range tt.steps {
				if server, delay := o.next(s.last); server != s.server || delay != s.delay {
					t.Fatalf("step %d: server %d after %d ms, want %d after %d ms", i, server, delay/ms, s.server, s.delay/ms)
				}
			}
		})
	}
}

// TestOrderIsFair: whatever happens, in any run of attempts without a stable
// connection each server comes up as often as any other, give or take one round.
func TestOrderIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "n")
		o := newOrder(n, rapid.Bool().Draw(t, "prefer"), func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "r") }, stillClock{})
		counts := make([]int, n)
		last := endNone
		free := 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			server, delay := o.next(last)
			if delay < 0 || delay > maxDelay {
				t.Fatalf("delay %d", delay)
			}
			counts[server]++
			if free < n && delay != 0 {
				t.Fatalf("a delay before every server was tried")
			}
			free++
			last = endFailed
			if rapid.IntRange(0, 9).Draw(t, "stable") == 0 {
				last, free = endStable, 0
				clear(counts)
			}
			if slices.Max(counts)-slices.Min(counts) > 2 {
				t.Fatalf("unfair: %v", counts)
			}
		}
	})
}

func TestNameRule(t *testing.T) {
	const second = 1_000_000_000
	var r nameRule
	for i, tt := range []struct {
		at   int64
		stop bool
	}{{0, false}, {10, false}, {71, false}, {80, false}, {100, true}} {
		wait, stop := r.inUse(tt.at * second)
		if wait != 5*second || stop != tt.stop {
			t.Errorf("step %d at %d s: wait %d, stop %v; want 5 s, %v", i, tt.at, wait, stop, tt.stop)
		}
	}
}

func TestRequest(t *testing.T) {
	v := bookmarkstore.Vector{7: 3, 2: 9}
	for _, tt := range []struct {
		name    string
		r       resumption
		bm, opt string
	}{
		{"epoch", resumption{ext: true, start: epochText}, "0", "vector"},
		{"now", resumption{ext: true, start: nowText}, "0|1|", "vector"},
		{"now, nothing received yet", resumption{ext: true, start: nowText, known: true, vector: v}, "2|9|,7|3|", "vector"},
		{"now on an empty log", resumption{ext: true, start: nowText, known: true}, "0", "vector"},
		{"resumed with gaps accepted", resumption{ext: true, known: true, vector: v, gaps: true}, "2|9|,7|3|", "vector,bookmark_not_found=epoch"},
		{"gaps cannot be at the first start", resumption{ext: true, start: epochText, gaps: true}, "0", "vector"},
		{"durable, with times", resumption{ext: true, start: nowText, durable: true, times: true}, "0|1|", "vector,fully_durable,timestamp"},
		{"plain, first", resumption{start: nowText}, "0|1|", ""},
		{"plain, resumed", resumption{known: true, vector: v}, "2|9|,7|3|", "bookmark_not_found=fail"},
		{"plain, resumed, gaps accepted", resumption{known: true, vector: v, gaps: true}, "2|9|,7|3|", "bookmark_not_found=epoch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if bm, opt := tt.r.request(); bm != tt.bm || opt != tt.opt {
				t.Errorf("request = %q, %q; want %q, %q", bm, opt, tt.bm, tt.opt)
			}
		})
	}
}

func TestStartTexts(t *testing.T) {
	b := func(p, s uint64) Bookmark { return Bookmark{Publisher: p, Sequence: s} }
	for _, tt := range []struct {
		s    Start
		want string
	}{
		{Epoch, "0"}, {MostRecent, "0"}, {Now, "0|1|"},
		{After(b(7, 3), b(2, 9)), "2|9|,7|3|"},
		{After(b(7, 3), b(7, 2)), "7|2|"},
	} {
		if got, err := tt.s.text(); got != tt.want || err != nil {
			t.Errorf("%v: %q, %v; want %q", tt.s, got, err, tt.want)
		}
	}
	for _, s := range []Start{After(), After(b(7, 0)), StartPoint(9)} {
		if got, err := s.text(); err == nil {
			t.Errorf("%v: %q, want an error", s, got)
		}
	}
}

func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := queue{maxMessages: 5, maxBytes: 50}
		var twin []*Message
		bytes := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				size := rapid.IntRange(0, 60).Draw(t, "size")
				if full := len(twin) > 0 && (len(twin) >= 5 || bytes+size > 50); full != q.full(size) {
					t.Fatalf("full(%d) = %v", size, !full)
				} else if full {
					return
				}
				m := q.message()
				m.Data = append(m.Data, make([]byte, size)...)
				q.push(delivery{m: m, size: size})
				twin = append(twin, m)
				bytes += size
			},
			"pop": func(t *rapid.T) {
				d, ok := q.pop()
				if ok != (len(twin) > 0) {
					t.Fatalf("pop: %v with %d queued", ok, len(twin))
				}
				if !ok {
					return
				}
				if d.m != twin[0] {
					t.Fatal("out of order")
				}
				bytes -= len(twin[0].Data)
				twin = twin[1:]
				q.recycle(d.m)
			},
		})
	})
}

func TestURI(t *testing.T) {
	u, err := parseURI("tcps://joe:s3cret@[::1]:9443/amps/nvfix?tcp_nodelay=true&tcp_rcvbuf=4096")
	if err != nil {
		t.Fatal(err)
	}
	if !u.tls || u.host != "::1" || u.address != "[::1]:9443" || u.messageType != "nvfix" ||
		u.user != "joe" || u.password != "s3cret" || !*u.noDelay || u.receiveBuffer != 4096 {
		t.Errorf("%+v", u)
	}
	if strings.Contains(u.String(), "s3cret") {
		t.Errorf("%s shows the password", u)
	}
	if u, err := parseURI("unix://localhost:0/amps/json?path=/run/amps.sock"); err != nil || u.network != "unix" || u.address != "/run/amps.sock" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{
		"", "a:9007", "tcp://", "tcp://a", "http://a:1", "ws://a:1", "tcp://a:1/fix", "tcp://a:1/amps/json/more",
		"tcp://a:1/amps/json?nonsense=1", "tcp://a:1?tcp_nodelay=maybe", "tcp://a:1?tcp_sndbuf=-1", "tcp://a:1?bind=x",
		"tcp://a:1?compression=zlib", "unix://localhost:0/amps/json", "tcp://a:1?path=/x", "tcp://joe:s3cret@a:1/%zz",
	} {
		if u, err := parseURI(bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, u)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password: %v", bad, err)
		}
	}
}

// What is wrong with a URI is said with the URI, and how to write one.
func TestURIErrors(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:9007", "localhost:9007", "a", "http://a:9007", "tcp://a"} {
		_, err := parseURI(bad)
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(bad)) || !strings.Contains(err.Error(), "write tcp://host:port/amps/json") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"joe:s3cret@127.0.0.1:9007", "1:s3cret@a:9007"} {
		if _, err := parseURI(bad); err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(redact(bad), "s3cret") {
			t.Errorf("%s: shown as %s, error %v", bad, redact(bad), err)
		}
	}
}

func TestValidate(t *testing.T) {
	servers := []string{"tcp://a:1/amps/json"}
	if _, err := (Config{Servers: servers}).validate(); err != nil {
		t.Errorf("the least configuration: %v", err)
	}
	for name, c := range map[string]Config{
		"no servers":                   {},
		"bad server":                   {Servers: []string{"a"}},
		"two kinds of servers":         {Servers: servers, Chooser: NewRoundRobin(servers...)},
		"chooser without servers":      {Chooser: NewRoundRobin()},
		"chooser with a bad server":    {Chooser: NewPriority(0, "a:9007")},
		"long name":                    {Servers: servers, Name: strings.Repeat("x", 1025)},
		"brackets in the name":         {Servers: servers, Name: "a[b]"},
		"half a second":                {Servers: servers, HeartbeatInterval: 1_500_000_000},
		"negative timeout":             {Servers: servers, DialTimeout: -1},
		"negative window":              {Servers: servers, WindowBytes: -1},
		"no name with a lasting store": {Servers: servers, Publishes: struct{ pubstore.Store }{}},
	} {
		if _, err := c.validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
