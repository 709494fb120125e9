package adminpage

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/server"
)

var pictures = flag.String("pictures", "", "write pictures of the page into this `directory`")

const token = "0123456789abcdef0123456789abcdef"

// hostile is a name and a topic that would run a script if the page took it for HTML.
const hostile = `<img src=x onerror="document.title='broken'"><b>x</b>`

// A pair is two instances of this process on real ports.
type pair struct{ a, b *server.Server }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startPair(t *testing.T) *pair {
	t.Helper()
	links := map[string]string{"a": freePort(t), "b": freePort(t)}
	start := func(name, peer string) *server.Server {
		s, err := server.Start(server.Config{
			Name: name, Group: "pair", Data: t.TempDir(), Version: "1.2.3",
			Clients: server.ClientPort{Listen: "127.0.0.1:0"},
			Admin:   server.AdminPort{Listen: "127.0.0.1:0", BearerToken: token},
			Replication: &server.Replication{Listen: links[name], Destinations: []server.Destination{
				{Name: peer, Address: links[peer], Ack: "sync", DowngradeAfter: server.Duration(3 * time.Second)},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	p := &pair{start("a", "b"), start("b", "a")}
	<-p.a.Ready()
	<-p.b.Ready()
	return p
}

// traffic publishes 50 messages a second, and subscribes, until the test ends.
func traffic(t *testing.T, s *server.Server, name, topic string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.Dial(ctx, client.Config{Name: name, Servers: []string{"tcp://" + s.Addr().String() + "/amps/json"}})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Subscribe(ctx, topic, client.From(client.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	var loops sync.WaitGroup
	loops.Go(func() {
		for range sub.Messages(ctx) {
		}
	})
	loops.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if _, err := c.Publish(ctx, topic, []byte(`{"n":1}`)); err != nil {
				return
			}
			<-tick.C
		}
	})
	t.Cleanup(func() { cancel(); c.Close(); loops.Wait() })
}

// A browser shows the page in one tab.
type browser struct {
	t    *testing.T
	ctx  context.Context
	mu   sync.Mutex
	logs []string // guarded by mu: what the browser complains about
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium here")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(3*time.Minute), chromedp.WindowSize(1200, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {})) // it logs events that it does not know
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			b.logs = append(b.logs, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			b.logs = append(b.logs, e.ExceptionDetails.Error())
		}
	})
	return b
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// text returns the text of the page as it is shown.
func (b *browser) text() (s string) {
	b.t.Helper()
	b.do(chromedp.Evaluate("document.body.innerText", &s))
	return s
}

// until waits until a JavaScript expression is true, and returns how long that took.
func (b *browser) until(expression string, within time.Duration) time.Duration {
	b.t.Helper()
	began := time.Now()
	var yes bool
	if err := chromedp.Run(b.ctx, chromedp.Poll(expression, &yes, chromedp.WithPollingTimeout(within), chromedp.WithPollingInterval(50*time.Millisecond))); err != nil {
		b.t.Fatalf("%s: %v; the page shows:\n%s", expression, err, b.text())
	}
	return time.Since(began)
}

func (b *browser) shows(text string) string {
	return fmt.Sprintf("document.body.innerText.includes(%q)", text)
}

// picture writes four pictures of the page: wide and narrow, light and dark.
func (b *browser) picture(name string) {
	if *pictures == "" {
		return
	}
	for _, v := range []struct {
		kind          string
		width, height int64
	}{{"wide", 1200, 900}, {"narrow", 390, 844}} {
		for _, scheme := range []string{"light", "dark"} {
			var png []byte
			b.do(chromedp.EmulateViewport(v.width, v.height), emulateScheme(scheme), chromedp.Sleep(1500*time.Millisecond), chromedp.FullScreenshot(&png, 100))
			file := filepath.Join(*pictures, fmt.Sprintf("%s-%s-%s.png", name, v.kind, scheme))
			if err := os.WriteFile(file, png, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1200, 900), emulateScheme("light"))
}

const published = `Number([...document.querySelectorAll("#facts div")].find((d) => d.innerText.startsWith("published")).querySelector("dd").innerText.replace(/\D/g, ""))`

// The page shows the numbers as they move, a dead peer within two seconds, does an action after it
// was confirmed, and shows nothing without the token.
func TestPage(t *testing.T) {
	b := openBrowser(t)
	p := startPair(t)
	traffic(t, p.a, "order-gateway", "orders/eu")
	traffic(t, p.a, hostile, hostile)
	url := "http://" + p.a.AdminAddr().String()

	b.do(log.Enable(), runtime.Enable(), chromedp.Navigate(url))
	b.until(b.shows("wants the token"), 10*time.Second)
	if text := b.text(); strings.Contains(text, "order-gateway") || strings.Contains(text, "Links") {
		t.Errorf("without a token the page shows:\n%s", text)
	}
	b.do(chromedp.SendKeys("#token", "wrong-token-wrong-token\r"))
	b.until(b.shows("does not accept this token"), 5*time.Second)
	b.picture("token")
	b.mu.Lock()
	b.logs = nil // refused requests are in the log of the browser
	b.mu.Unlock()
	b.do(chromedp.SendKeys("#token", token+"\r"))
	b.until(b.shows("order-gateway"), 10*time.Second)

	var before int
	b.do(chromedp.Evaluate(published, &before))
	b.until(fmt.Sprintf("%s > %d", published, before+50), 5*time.Second)
	b.until(`document.querySelector("canvas") !== null && document.querySelectorAll(".u-legend tr").length >= 3`, 5*time.Second)
	if text := b.text(); !strings.Contains(text, `<b>x</b>`) {
		t.Errorf("the hostile name is not shown as it is:\n%s", text)
	}
	b.picture("well")

	b.do(chromedp.Click(`[data-action="single"]`), chromedp.WaitVisible("#yes"))
	b.picture("ask")
	b.do(chromedp.Click("#no"), chromedp.Sleep(1500*time.Millisecond))
	if l := p.a.Status().Links[0]; l.Ack != "counting" {
		t.Errorf("after Cancel the link is %+v", l)
	}
	b.do(chromedp.Click(`[data-action="single"]`), chromedp.WaitVisible("#yes"), chromedp.Click("#yes"))
	b.until(b.shows("left out by an operator"), 5*time.Second)
	if l := p.a.Status().Links[0]; l.Ack != "downgraded" || !l.LeftOut {
		t.Errorf("the link is %+v", l)
	}
	b.do(chromedp.Click(`[data-action="count"]`), chromedp.WaitVisible("#yes"), chromedp.Click("#yes"))
	b.until("!"+b.shows("left out by an operator"), 20*time.Second) // b catches up before acks wait for it

	testdoor.Inside(p.b).Kill()
	if took := b.until(b.shows("The link with b is down"), 2*time.Second); took > 2*time.Second {
		t.Errorf("the dead peer shows after %v", took)
	}
	b.until(b.shows("acks: one disk"), 10*time.Second)
	b.do(chromedp.Sleep(3 * time.Second))
	b.picture("trouble")

	b.do(chromedp.Click(`[data-action="drain"]`), chromedp.WaitVisible("#yes"), chromedp.Click("#yes"))
	select {
	case <-p.a.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the drain does not end")
	}
	var title string
	if b.do(chromedp.Evaluate("document.title", &title)); title != "a - holdfast" {
		t.Errorf("the title is %q", title)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.logs {
		refused := strings.Contains(l, "401 (Unauthorized)") || strings.Contains(l, "net::") // before the token, and after the drain
		if !refused {
			t.Errorf("the browser complains: %s", l)
		}
	}
}

// A page of another origin cannot read the status or act, with the token in its hands and a user
// who has the page of the instance open.
func TestOtherOrigin(t *testing.T) {
	b := openBrowser(t)
	p := startPair(t)
	evil := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>evil</title>")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- evil.Serve(l) }()
	defer func() { evil.Close(); <-served }()
	b.do(chromedp.Navigate("http://" + l.Addr().String()))
	for _, attempt := range []string{
		`fetch("%s/actions", {method: "POST", body: '{"action":"drain"}', headers: {"Content-Type": "application/json", Authorization: "Bearer %s"}})`,
		`fetch("%s/actions", {method: "POST", mode: "no-cors", body: '{"action":"drain"}', headers: {"Content-Type": "text/plain", Authorization: "Bearer %s"}})`,
		`fetch("%s/status", {headers: {Authorization: "Bearer %s"}}).then((r) => r.text())`,
	} {
		script := fmt.Sprintf(attempt, "http://"+p.a.AdminAddr().String(), token) + `.then((r) => (r.type === "opaque" ? "opaque" : "read"), () => "refused")`
		var result string
		b.do(chromedp.Evaluate(script, &result, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if result == "read" {
			t.Errorf("another origin reads the answer to %s", script)
		}
	}
	if p.a.Status().Stopping {
		t.Error("another origin has stopped the instance")
	}
}
