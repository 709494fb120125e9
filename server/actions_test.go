package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

const adminToken = "0123456789abcdef"

// actionPair starts a pair whose instances have an admin port with a token, and an audit log.
func actionPair(t *testing.T) *servertest.Pair {
	pair := servertest.NewPair(t, servertest.Config(func(c *server.Config) {
		c.Admin = server.AdminPort{Listen: c.Name + ":8085", BearerToken: adminToken}
		c.Replication.Destinations[0].DowngradeAfter = server.Duration(5 * time.Second)
		toFile(c)
	}))
	time.Sleep(time.Second)
	return pair
}

// send sends a request to the admin port and returns the status code and the body. A header is a
// name and a value.
func send(t *testing.T, i *servertest.Instance, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+i.Name()+":8085"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	answer, err := adminClient(i, nil).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.Header.Get("Content-Security-Policy") == "" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: headers %v", method, path, answer.Header)
	}
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

var asOperator = []string{"Authorization", "Bearer " + adminToken, "Content-Type", "application/json"}

// act sends an action with the token.
func act(t *testing.T, i *servertest.Instance, body string) (int, string) {
	t.Helper()
	return send(t, i, http.MethodPost, "/actions", body, asOperator...)
}

// wantInAudit checks that the audit log has lines with these texts.
func wantInAudit(t *testing.T, i *servertest.Instance, want ...string) {
	t.Helper()
	time.Sleep(2 * time.Second)
	text := auditText(t, diskOf(i))
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s is not in the audit log:\n%s", w, text)
		}
	}
}

// A peer is left out of acks and counts again, a client is disconnected, and the audit log has a
// line for each action, done or not.
func TestActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := actionPair(t)
		want := func(body string, code int, text string) {
			t.Helper()
			if got, answer := act(t, pair.A, body); got != code || !strings.Contains(answer, text) {
				t.Errorf("%s: %d %s", body, got, answer)
			}
		}
		want(`{"action":"single","args":["b"]}`, 200, `"done":true,"text":"acks do not wait for b`)
		if l := pair.A.Server().Status().Links[0]; l.Ack != "downgraded" || !l.LeftOut {
			t.Errorf("the link is %+v", l)
		}
		want(`{"action":"count","args":["b"]}`, 200, `"acks wait for b"`)
		want(`{"action":"single","args":["x"]}`, 409, `is not a peer`)
		c := dial(t, pair.A)
		c.logon("desk")
		want(`{"action":"disconnect","args":["desk"]}`, 200, `may log on again`)
		c.wantClosed()
		synctest.Wait() // the session is gone
		want(`{"action":"disconnect","args":["desk"]}`, 409, `no session`)
		for body, text := range map[string]string{
			`{"action":"lost","args":["b"]}`:                   "is not one of",
			`{"action":"single","args":["b","b","b","b","b"]}`: "at most 4",
			`{"action":`: "not as it must be",
			``:           "not as it must be",
		} {
			want(body, 400, text)
		}
		want(`{"action":"drain","args":["now"]}`, 409, "it must have none")
		want(`{"action":"single"}`, 409, "it must have one, the name of a peer")
		if code, _ := act(t, pair.A, `{"action":"`+strings.Repeat("x", 9<<10)+`"}`); code != http.StatusRequestEntityTooLarge {
			t.Errorf("a long body: %d", code)
		}
		wantInAudit(t, pair.A, `"event":"control","instance":"a","action":"single","arguments":"b","address":`,
			`"action":"single","arguments":"x"`, `"done":false,"reply":"\"x\" is not a peer of this instance"`,
			`"action":"disconnect","arguments":"desk"`, `"reason":"an operator has disconnected the client"`)
		last := pair.A.Server().Status().Events
		if e := last[len(last)-1]; e.Kind != server.EventOperator || e.Subject != "desk" {
			t.Errorf("the last event is %+v", e)
		}
	})
}

// A drain is answered, and stops the instance as Shutdown does: outstanding acks come first.
func TestActionDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := actionPair(t)
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		diskOf(pair.B).SetSyncDelay(time.Second)
		p.publish("orders", 1, 5)
		synctest.Wait()
		if code, text := act(t, pair.A, `{"action":"drain"}`); code != 200 || !strings.Contains(text, "the instance stops") {
			t.Errorf("%d %s", code, text)
		}
		p.awaitPersisted(5, "")
		p.wantClosed()
		if err := pair.A.AwaitEnd(); err != nil {
			t.Errorf("the end: %v", err)
		}
	})
}

// Nobody acts without the token, and nobody at all if there is no token.
func TestActionsNeedPermission(t *testing.T) {
	const body = `{"action":"single","args":["b"]}`
	synctest.Test(t, func(t *testing.T) {
		pair := actionPair(t)
		for _, path := range []string{"/status", "/lag", "/actions", "/publishers", "/insync", "/page/../status"} {
			if code, text := send(t, pair.A, http.MethodGet, path, ""); code != http.StatusUnauthorized || strings.Contains(text, `"name"`) {
				t.Errorf("%s without a token: %d %s", path, code, text)
			}
		}
		for _, token := range []string{"", "Bearer " + adminToken + "x", "Basic " + adminToken} {
			if code, _ := send(t, pair.A, http.MethodPost, "/actions", body, "Content-Type", "application/json", "Authorization", token); code != http.StatusUnauthorized {
				t.Errorf("token %q: %d", token, code)
			}
		}
		if l := pair.A.Server().Status().Links[0]; l.Ack != "counting" {
			t.Errorf("the link is %+v", l)
		}
		wantInAudit(t, pair.A, `"event":"control_refused","instance":"a","address":`, `"reason":"the token is missing or wrong"`)
	})
	synctest.Test(t, func(t *testing.T) {
		i := adminInstance(t)
		if code, text := act(t, i, `{"action":"disconnect","args":["x"]}`); code != http.StatusForbidden || !strings.Contains(text, "admin.token") {
			t.Errorf("without a token of the instance: %d %s", code, text)
		}
		if code, text := send(t, i, http.MethodGet, "/actions", ""); code != 200 || !strings.Contains(text, `"permitted":false`) {
			t.Errorf("the list: %d %s", code, text)
		}
	})
}

// A page of another origin cannot act, even with the token. A form cannot act at all.
func TestActionsOfOtherOrigins(t *testing.T) {
	const body = `{"action":"disconnect","args":["x"]}`
	synctest.Test(t, func(t *testing.T) {
		i := actionPair(t).A
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
		} {
			if code, text := send(t, i, http.MethodPost, "/actions", body, append(headers, asOperator...)...); code != http.StatusForbidden {
				t.Errorf("%q: %d %s", headers, code, text)
			}
		}
		for _, headers := range [][]string{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "http://a:8085"}, nil} {
			if code, text := send(t, i, http.MethodPost, "/actions", body, append(headers, asOperator...)...); code != http.StatusConflict {
				t.Errorf("%q: %d %s", headers, code, text)
			}
		}
		if code, _ := send(t, i, http.MethodPost, "/actions", body, "Authorization", "Bearer "+adminToken, "Content-Type", "text/plain"); code != http.StatusBadRequest {
			t.Errorf("a form: %d", code)
		}
		wantInAudit(t, i, `"reason":"the request comes from a page of another origin"`)
	})
}

// The page and its files need no token, and contain no script of their own in the HTML.
func TestAdminPageFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := actionPair(t).A
		for _, path := range []string{"/", "/page/page.js", "/page/page.css", "/page/uPlot.iife.min.js", "/page/uPlot.min.css", "/page/icon.svg", "/page/uPlot.LICENSE.txt"} {
			if code, text := send(t, i, http.MethodGet, path, ""); code != 200 || len(text) < 100 {
				t.Errorf("%s: %d, %d bytes", path, code, len(text))
			}
		}
		_, page := send(t, i, http.MethodGet, "/", "")
		for _, bad := range []string{"<script>", "onclick", "style=", "http://", "https://", "<form"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page has %s", bad)
			}
		}
		_, script := send(t, i, http.MethodGet, "/page/page.js", "")
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "document.cookie", "localStorage"} {
			if strings.Contains(script, bad) {
				t.Errorf("the script has %s", bad)
			}
		}
		if code, _ := send(t, i, http.MethodGet, "/page/none", "", asOperator...); code != http.StatusNotFound {
			t.Errorf("a file that is not there: %d", code)
		}
	})
}

// /lag has a sample for each second, also before anybody asked, and never more than ten minutes.
func TestLagHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := actionPair(t)
		history := func(path string) (h server.LagHistory) {
			t.Helper()
			_, text := send(t, pair.A, http.MethodGet, path, "", asOperator...)
			if err := json.Unmarshal([]byte(text), &h); err != nil || len(h.Links) != 1 || len(h.Links[0].WaitMS) != len(h.Times) || len(h.Links[0].States) != len(h.Times) {
				t.Fatalf("%v: %.200s", err, text)
			}
			return h
		}
		time.Sleep(3500 * time.Millisecond) // not in the moment of a sample
		pair.B.Kill()
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 5)
		time.Sleep(30 * time.Second)
		h := history("/lag")
		last, n := h.Links[0], len(h.Times)-1
		if last.Peer != "b" || last.States[2] != "up" || last.States[n] != "single" || last.ToSend[n] < 5 || last.WaitMS[n] < 25_000 || last.ToCome[n] != -1 {
			t.Errorf("%d samples, the last: %s, %d ms, %d, %d", n+1, last.States[n], last.WaitMS[n], last.ToSend[n], last.ToCome[n])
		}
		time.Sleep(5 * time.Second)
		if more := history("/lag?after=" + strconv.FormatUint(h.Number, 10)); len(more.Times) != 5 || more.Number != h.Number+5 {
			t.Errorf("%d samples up to %d after %d", len(more.Times), more.Number, h.Number)
		}
		time.Sleep(20 * time.Minute)
		if h := history("/lag"); len(h.Times) != 600 {
			t.Errorf("%d samples", len(h.Times))
		}
		if h := history("/lag?after=1000000"); len(h.Times) != 600 {
			t.Errorf("%d samples after one that is not there", len(h.Times))
		}
	})
}
