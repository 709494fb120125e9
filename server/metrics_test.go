package server_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A subscriber that does not read falls behind, which the metrics show, and its session is counted
// as slow when it ends.
func TestMetricsOfASlowSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		lazy := dial(t, i)
		lazy.logon("lazy")
		lazy.send(`{"c":"subscribe","cid":"1","t":"a","a":"processed"}`)
		lazy.next()
		synctest.Wait()
		if m := i.Server().Metrics().Sessions; m.Live != 1 || m.Behind != 0 || m.Number != 1 || len(m.Slowest) != 0 {
			t.Errorf("before: %+v", m)
		}
		p := dial(t, i)
		p.logon("pubber")
		const size, messages = 1 << 20, 8
		for s := range uint64(messages) {
			p.send(fmt.Sprintf(`{"c":"p","t":"a","s":%d}`, s+1), strings.Repeat("x", size))
		}
		p.wantSilence(5 * time.Second)
		m := i.Server().Metrics()
		if s := m.Sessions.Slowest; len(s) != 1 || s[0].Client != "lazy" || s[0].BytesBehind < size || s[0].BytesBehind > messages*size*2 {
			t.Errorf("after %d messages: %+v", messages, m.Sessions)
		}
		if m.Counts.Slow != 0 {
			t.Errorf("%d slow sessions while the session is there", m.Counts.Slow)
		}
		p.wantSilence(10 * time.Second)
		if m = i.Server().Metrics(); m.Counts.Slow != 1 || len(m.Sessions.Slowest) != 0 || m.Sessions.Number != 1 {
			t.Errorf("at the end: %d slow sessions, %+v", m.Counts.Slow, m.Sessions)
		}
	})
}

// A subscription that resumes from its place far back is behind until it has read everything.
func TestMetricsOfSubscriptionsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logon("pubber")
		const size, messages = 1 << 20, 8
		for s := range uint64(messages) {
			p.send(fmt.Sprintf(`{"c":"p","t":"a","s":%d}`, s+1), strings.Repeat("x", size))
		}
		synctest.Wait()
		for n := range 25 {
			c := dial(t, i)
			c.logon(fmt.Sprintf("reader-%02d", n))
			c.send(`{"c":"subscribe","cid":"1","sub_id":"s","t":"a","bm":"0"}`)
		}
		synctest.Wait()
		m := i.Server().Metrics().Sessions
		if m.Behind != 25 || m.Live != 0 || len(m.Slowest) != 20 {
			t.Errorf("%d behind, %d live, %d of them listed", m.Behind, m.Live, len(m.Slowest))
		}
		for _, s := range m.Slowest {
			if s.ID != "s" || s.BytesBehind < size {
				t.Errorf("%+v", s)
			}
		}
	})
}

// An endpoint that was added to the admin port has the limits and the token of the others.
func TestHandleAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const token = "0123456789abcdef"
		i := servertest.New(t, servertest.Config(func(c *server.Config) {
			c.Admin = server.AdminPort{Listen: "a:8085", BearerToken: token}
		}))
		i.Server().HandleAdmin("/own", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
		for header, want := range map[string]string{
			"":                                "401",
			"Authorization: Bearer wrong\r\n": "401",
			"Authorization: Bearer " + token + "\r\n":                      "200",
			"Content-Length: 1\r\nAuthorization: Bearer " + token + "\r\n": "413",
		} {
			c := dialAdmin(t, i)
			c.bytes("GET /own HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + header + "\r\n")
			answer, _ := io.ReadAll(c.conn)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) || (want == "200") != strings.HasSuffix(string(answer), "hello") {
				t.Errorf("%q: %q, want %s", header, answer, want)
			}
		}
		time.Sleep(lingerTime)
	})
}
