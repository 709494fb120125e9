package client

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestStartTexts(t *testing.T) {
	b := func(p, s uint64) Bookmark { return Bookmark{Publisher: p, Sequence: s} }
	for _, tt := range []struct {
		s    Start
		want string
	}{
		{Epoch, "0"}, {MostRecent, "0"}, {Now, "0|1|"}, {MostRecentOr(Now), "0|1|"},
		{After(b(7, 3), b(2, 9)), "2|9|,7|3|"},
		{After(b(7, 3), b(7, 2)), "7|2|"},
	} {
		if got, err := tt.s.text(); got != tt.want || err != nil {
			t.Errorf("%v: %q, %v; want %q", tt.s, got, err, tt.want)
		}
	}
	for _, s := range []Start{After(), After(b(7, 0)), StartPoint(9), MostRecentOr(nil), MostRecentOr(StartPoint(9))} {
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
				m.Body = append(m.Body, make([]byte, size)...)
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
				bytes -= len(twin[0].Body)
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
		"tcp://a:1?compression=zlib", "tcp://a:1,b:2/amps/json", "tcp://a:1,tcp://b:2", "tcp://::1:9007/amps/json", "tcp://a:0", "tcp://a:99999",
		"tcp://a:1/amps/json ", " tcp://a:1", "tcp://user:1234#x@127.0.0.1:9007/amps/json", "tcp://a:1/amps/json#x", "unix://localhost:0/amps/json", "tcp://a:1?path=/x", "tcp://joe:s3cret@a:1/%zz",
	} {
		if u, err := parseURI(bad); err == nil {
			t.Errorf("%q: %+v, want an error", bad, u)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error shows the password: %v", bad, err)
		}
	}
}

// The error of an invalid URI shows the URI and the correct form.
func TestURIErrors(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:9007", "localhost:9007", "a", "http://a:9007", "tcp://a"} {
		_, err := parseURI(bad)
		if err == nil || !strings.Contains(err.Error(), strconv.Quote(bad)) || !strings.Contains(err.Error(), "write tcp://host:port/amps/json") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{
		"joe:s3cret@127.0.0.1:9007", "1:s3cret@a:9007", "tcp://joe:s3cret#x@h:1/amps/json", "tcp://joe:s3cret/x@h:1/amps/json",
		"tcp://joe:s3cret?x@h:1/amps/json", "tcp://joe:s3cret@x@h:1/amps/json", "tcp://joe:s3cret@h:1/amps/json ", "tcp://joe:s3cret%@h:1/",
		"tcp://joe:s3cret@a:1,b:2/amps/json", "tcp://joe:s3cret@::1:9007/amps/json", "tcp://joe:s3cret@h:99999/amps/json", "tcp://joe:s3cret@h:0/amps/json",
		"tcp://joe:s3cret@h:x/amps/json", "joe:s3cret@a://h:1/amps x", "joe:s3cret://h:1#",
	} {
		if _, err := parseURI(bad); err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(redact(bad), "s3cret") {
			t.Errorf("%s: shown as %s, error %v", bad, redact(bad), err)
		}
	}
}

func TestHeartbeatInterval(t *testing.T) {
	for _, tt := range []struct {
		configured time.Duration
		plain      bool
		want       time.Duration
	}{{0, false, time.Second}, {0, true, 5 * time.Second}, {2 * time.Second, false, 2 * time.Second}, {2 * time.Second, true, 2 * time.Second}} {
		if got := heartbeatInterval(tt.configured, tt.plain); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestValidate(t *testing.T) {
	servers := []string{"tcp://a:1/amps/json"}
	if err := (Config{Servers: servers}).Check(); err != nil {
		t.Errorf("the least configuration: %v", err)
	}
	for name, c := range map[string]Config{
		"no servers":                   {},
		"bad server":                   {Servers: []string{"a"}},
		"two kinds of servers":         {Servers: servers, Chooser: NewRoundRobin(servers...)},
		"chooser without servers":      {Chooser: NewRoundRobin()},
		"chooser with a bad server":    {Chooser: NewPriority(FailBackNever(), "a:9007")},
		"long name":                    {Servers: servers, Name: strings.Repeat("x", 1025)},
		"brackets in the name":         {Servers: servers, Name: "a[b]"},
		"half a second":                {Servers: servers, HeartbeatInterval: 1_500_000_000},
		"negative timeout":             {Servers: servers, DialTimeout: -1},
		"negative window":              {Servers: servers, WindowBytes: -1},
		"no name with a lasting store": {Servers: servers, PublishStore: struct{ pubstore.Store }{}},
	} {
		if err := c.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The error about a negative timeout or bound names its field.
func TestNegativeFieldIsNamed(t *testing.T) {
	for _, field := range []string{
		"DialTimeout", "LogonTimeout", "CommandTimeout", "RecoveryTimeout", "HeartbeatInterval",
		"WindowMessages", "WindowBytes", "QueueMessages", "QueueBytes", "MaxPublishers", "MaxMessage", "MaxFrame",
	} {
		c := Config{Servers: []string{"tcp://a:1/amps/json"}}
		reflect.ValueOf(&c).Elem().FieldByName(field).SetInt(-1)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), field+" -1") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{StateConnecting: "connecting", StateClosed: "closed", -1: "state -1", StateClosed + 1: "state 5"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d): %q, want %q", int(s), got, want)
		}
	}
}

func TestSlowBlock(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Second: time.Second} {
		o, err := subscribeOptionsOf([]SubscribeOption{WhenSlow(SlowBlock(wait))})
		if err != nil || o.request.SlowPolicy != (clientcore.SlowPolicy{Wait: want}) {
			t.Errorf("SlowBlock(%v): %+v, %v", wait, o.request.SlowPolicy, err)
		}
	}
	if _, err := subscribeOptionsOf([]SubscribeOption{WhenSlow(SlowBlock(-1))}); err == nil {
		t.Error("a negative wait is accepted")
	}
}
