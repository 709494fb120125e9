package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

func TestBadCommands(t *testing.T) {
	for _, tt := range []struct {
		name, send, want string // want: reason of a failure ack; "-": the server closes
	}{
		{"bad pattern", `{"c":"subscribe","cid":"1","t":"(a","a":"processed"}`, "bad regex topic"},
		{"no topic", `{"c":"subscribe","cid":"1","a":"processed"}`, "no topic"},
		{"unknown option", `{"c":"subscribe","cid":"1","t":"a","opts":"magic","a":"processed"}`, "invalid options"},
		{"filter", `{"c":"subscribe","cid":"1","t":"a","filter":"/a = 1"}`, "content filters are not offered"},
		{"rate", `{"c":"subscribe","cid":"1","t":"a","bm":"0","opts":"rate=10"}`, "option rate is not offered"},
		{"top_n", `{"c":"subscribe","cid":"1","t":"a","bm":"0","top_n":3}`, "top_n is not offered"},
		{"oof", `{"c":"subscribe","cid":"1","t":"a","opts":"oof,"}`, "option oof is not offered"},
		{"range", `{"c":"subscribe","cid":"1","t":"a","bm":"[0:1|2|)"}`, "bookmark range is not offered"},
		{"bad bookmark", `{"c":"subscribe","cid":"1","t":"a","bm":"1|x|","a":"processed"}`, "invalid bookmark"},
		{"empty bookmark", `{"c":"subscribe","cid":"1","t":"a","bm":"","a":"processed"}`, "invalid bookmark"},
		{"huge bookmark", `{"c":"subscribe","cid":"1","t":"a","bm":"99999999999999999999|1|","a":"processed"}`, "invalid bookmark"},
		{"bookmark on a topic that is not logged", `{"c":"subscribe","cid":"1","t":"gossip","bm":"0","a":"processed"}`, "invalid topic"},
		{"bookmark not found", `{"c":"subscribe","cid":"1","t":"a","bm":"1|1|","opts":"bookmark_not_found=fail","a":"processed"}`, "bookmark not found"},
		{"vector of a plain client", `{"c":"subscribe","cid":"1","t":"a","bm":"0","opts":"vector","a":"processed"}`, "invalid options"},
		{"list as id", `{"c":"subscribe","cid":"1","sub_id":"1,2","t":"a","a":"processed"}`, "invalid subid"},
		{"unsubscribe of nothing", `{"c":"unsubscribe","cid":"1","a":"processed"}`, "invalid subid"},
		{"sow", `{"c":"sow","cid":"1","t":"a","a":"processed"}`, "sow is not offered"},
		{"sow_and_subscribe", `{"c":"sow_and_subscribe","cid":"1","t":"a"}`, "sow_and_subscribe is not offered"},
		{"delta_subscribe", `{"c":"delta_subscribe","cid":"1","t":"a"}`, "delta_subscribe is not offered"},
		{"sow_delete", `{"c":"sow_delete","cid":"1","t":"a","filter":"1=1"}`, "sow_delete is not offered"},
		{"queue ack", `{"c":"ack","cid":"1","t":"a","bm":"1|1|"}`, "ack of a queue is not offered"},
		{"delta_publish", `{"c":"delta_publish","cid":"1","t":"a","a":"processed"}`, "delta_publish is not offered"},
		{"reserved topic", `{"c":"p","cid":"1","t":"/AMPS/ClientStatus","a":"processed"}`, "invalid topic"},
		{"topic with a tab", `{"c":"p","cid":"1","t":"a\tb","a":"processed"}`, "invalid topic"},
		{"topic that is no UTF-8", `{"c":"p","cid":"1","t":"a` + "\xff" + `","a":"processed"}`, "invalid topic"},
		{"unknown command", `{"c":"nonsense","cid":"1"}`, "invalid command"},
		{"no command", `{"cid":"1"}`, "invalid command"},
		{"malformed", `{"c":"p","t":`, "-"},
		{"heartbeat without a number", `{"c":"heartbeat","cid":"1","opts":"start","a":"processed"}`, "invalid options"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := servertest.New(t, logTopics("^a$"))
				c := dial(t, i)
				c.logon("pubber")
				c.send(tt.send)
				if tt.want == "-" {
					c.wantClosed()
					return
				}
				if m := c.message(); string(m.Status) != "failure" || string(m.Reason) != tt.want || string(m.CommandID) != "1" {
					t.Errorf("%s %q of %q, want failure %q", m.Status, m.Reason, m.CommandID, tt.want)
				}
				if tt.want == wire.ReasonInvalidCommand {
					c.wantClosed()
				}
			})
		})
	}
}

func TestAnonymous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dial(t, servertest.New(t))
		c.send(`{"c":"logon","cid":"0","a":"processed"}`)
		if m := c.message(); len(m.ClientName) == 0 || string(m.Status) != "success" {
			t.Errorf("got name %q, %s", m.ClientName, m.Status)
		}
		c.send(`{"c":"p","t":"a","s":1,"a":"persisted"}`, "x")
		c.expect(`{"c":"ack","a":"persisted","s":1,"status":"failure","reason":"client name required for a sequence"}`)
		c.send(`{"c":"p","cid":"1","t":"a","a":"persisted"}`, "x")
		c.expect(`{"c":"ack","cid":"1","a":"persisted","status":"success"}`)
	})
}

func TestStartErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := servertest.New(t)
		disk := diskOf(a)
		other := servertest.New(t, servertest.Unstarted(), servertest.Config(func(c *server.Config) { *c = testdoor.OnDisk(*c, disk) }))
		if err := other.Start(); !errors.Is(err, seglog.ErrLocked) {
			t.Errorf("locked directory: %v", err)
		}
		busy := servertest.New(t, servertest.Unstarted(), servertest.Config(func(c *server.Config) {
			c.Clients.Listen = "a:1"
			c.Admin.Listen = "a:1"
		}))
		if err := busy.Start(); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("port in use: %v", err)
		}
		var config *server.ConfigError
		if _, err := server.Start(server.Config{}); !errors.As(err, &config) || config.Field != "name" {
			t.Errorf("empty config: %v", err)
		}
	})
}

// If its disk fails, the instance ends and reports the reason (R7).
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		c := dial(t, i)
		c.logon("pubber")
		diskOf(i).FailSync(syscall.EIO)
		c.send(`{"c":"p","t":"a","a":"persisted","s":1}`, "x")
		for {
			text, err := c.read()
			if err != nil {
				break
			}
			if strings.Contains(text, "success") {
				t.Fatalf("acknowledged by a disk that fails: %s", text)
			}
		}
		select {
		case <-i.Server().Done():
		case <-time.After(time.Minute):
			t.Fatal("the instance still runs")
		}
		var disk *server.DiskError
		if err := i.Server().Err(); !errors.As(err, &disk) || !errors.Is(err, syscall.EIO) {
			t.Errorf("ended with %v", err)
		}
	})
}

// A lone instance with a damaged journal does not start without AcceptDamage (R8).
func TestDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		c := dial(t, i)
		c.logon("pubber")
		c.publish("a", 1, 9)
		c.awaitPersisted(9, "")
		i.Close()
		flipSome(t, diskOf(i))
		var damaged *server.DamagedError
		if err := i.Start(); !errors.As(err, &damaged) {
			t.Fatalf("started with %v", err)
		}
		i.Configure(func(c *server.Config) { c.AcceptDamage = true })
		i.Restart()
		i.AwaitReady()
	})
}

// flipSome damages the middle of the largest log file.
func flipSome(t *testing.T, disk *memfs.FS) {
	t.Helper()
	for _, name := range disk.Names() {
		b, err := disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(b), body(4)); at > 0 {
			disk.Flip(name, int64(at))
			return
		}
	}
	t.Fatal("nothing to damage")
}

func TestAdmin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Admin.Listen = "a:8085" }))
		get := func(path string) (int, server.Status) {
			c := dialAdmin(t, i)
			c.bytes("GET " + path + " HTTP/1.0\r\n\r\n")
			r, err := http.ReadResponse(newBufio(c.conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			var st server.Status
			if r.StatusCode != http.StatusNotFound {
				if err := json.NewDecoder(r.Body).Decode(&st); err != nil {
					t.Fatal(err)
				}
			}
			return r.StatusCode, st
		}
		dial(t, i).logon("pubber")
		for path, sessions := range map[string]int{"/readyz": 0, "/status": 1} {
			if code, st := get(path); code != 200 || st.Name != "a" || !st.Ready || len(st.Sessions) != sessions {
				t.Errorf("%s: %d %+v", path, code, st)
			}
		}
		if code, _ := get("/other"); code != 404 {
			t.Errorf("/other: %d", code)
		}
	})
}

// The admin port lists the publishers in pages, in the order of their ids. It names a number that
// it cannot parse.
func TestAdminPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Admin.Listen = "a:8085" }))
		want := map[uint64]uint64{}
		for n := range uint64(3) {
			c := dial(t, i)
			name := fmt.Sprintf("publisher %d", n)
			c.logon(name)
			c.publish("orders", 1, n+1)
			c.awaitPersisted(n+1, "")
			want[bookmark.IdentityOfName(name).ID] = n + 1
		}
		get := func(query string) (code int, body string) {
			c := dialAdmin(t, i)
			c.bytes("GET /publishers" + query + " HTTP/1.0\r\n\r\n")
			r, err := http.ReadResponse(newBufio(c.conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return r.StatusCode, string(text)
		}
		var after uint64
		for page, more := 0, true; more; page++ {
			code, text := get(fmt.Sprintf("?after=%d&limit=1", after))
			var list server.PublisherList
			if err := json.Unmarshal([]byte(text), &list); err != nil || code != 200 || len(list.Publishers) != 1 {
				t.Fatalf("page %d: %d %s", page, code, text)
			}
			p := list.Publishers[0]
			if n := want[p.Publisher]; p.Publisher <= after || n == 0 || p.Have != n || p.Durable != n || p.Safe != n || p.Floor != 0 {
				t.Errorf("page %d: %+v", page, p)
			}
			if more = page < 2; list.More != more {
				t.Errorf("page %d: more is %v", page, list.More)
			}
			after = p.Publisher
		}
		if _, text := get(fmt.Sprintf("?after=%d", after)); text != `{"publishers":[],"more":false}`+"\n" {
			t.Errorf("behind the last: %s", text)
		}
		if code, text := get("?after=x"); code != 400 || text != "after=\"x\" is not a number\n" {
			t.Errorf("%d %s", code, text)
		}
	})
}

// While an instance waits to catch up it is live, not ready, and says why. The names in the JSON
// have one style.
func TestAdminCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Unstarted())
		pair.A.Configure(func(c *server.Config) { c.Admin.Listen = "a:8085" })
		pair.A.Restart()
		get := func(path string) (int, string) {
			c := dialAdmin(t, pair.A)
			c.bytes("GET " + path + " HTTP/1.0\r\n\r\n")
			r, err := http.ReadResponse(newBufio(c.conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return r.StatusCode, string(text)
		}
		wants := func(path string, code int, parts ...string) {
			t.Helper()
			got, text := get(path)
			if got != code {
				t.Errorf("%s: %d, want %d", path, got, code)
			}
			for _, part := range parts {
				if !strings.Contains(text, part) {
					t.Errorf("%s: no %s in %s", path, part, text)
				}
			}
		}
		const waiting = `"ready":false,"stopping":false,"catching_up":true`
		wants("/livez", 200)
		wants("/readyz", 503, waiting)
		wants("/status", 200, waiting, `"links":[{"peer":"b","sync":true,"outbound":true,"inbound":false,"one_way":false,"rivals":false,"state":"down","ack":"counting"`,
			`"oldest_wait_ms":0`, `"degraded":[]`)
		pair.A.AwaitReady()
		wants("/readyz", 200, `"ready":true,"stopping":false,"catching_up":true`)
		pair.B.Restart()
		pair.B.AwaitReady()
		c := dial(t, pair.A)
		c.logon("pubber")
		c.awaitLink(pair.A)
		wants("/readyz", 200, `"catching_up":false`)
		wants("/status", 200, fmt.Sprintf(`"publisher":"%d"`, pubber))
	})
}

// The directory of a publish store as data directory is an error of the configuration, not of the
// disk.
func TestDataIsNotAJournal(t *testing.T) {
	dir := t.TempDir()
	store, err := pubstore.OpenFile(dir, pubstore.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second says that the first is durable, so that damage to it is no torn tail
		if _, err := store.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("body")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(dir, "0000000000000000.log")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("orders"))]++
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = server.Start(server.Config{Name: "a", Data: dir, Clients: server.ClientPort{Listen: "127.0.0.1:0"}, AcceptDamage: true})
	var config *server.ConfigError
	if !errors.As(err, &config) || config.Field != "data" || !strings.Contains(err.Error(), "is not a journal") {
		t.Errorf("started with %v", err)
	}
	if after, err := os.ReadFile(segment); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the file was changed: %v", err)
	}
}

// A journal that a newer holdfastd has written is refused and not changed, even by an instance with
// AcceptDamage.
func TestNewerJournal(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"log":  newer.Segment,
		"head": func(b []byte) []byte { return newer.Head(b, len("hfsjournal")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := servertest.New(t, servertest.Config(func(c *server.Config) { c.AcceptDamage = true }))
				c := dial(t, i)
				c.logon("pubber")
				c.publish("a", 1, 9)
				c.awaitPersisted(9, "")
				i.Close()
				disk := diskOf(i)
				flipSome(t, disk)
				segment := disk.Names()[0]
				b, err := disk.ReadFile(segment)
				if err != nil {
					t.Fatal(err)
				}
				b = change(b)
				disk.WriteFile(segment, b)

				err = i.Start()
				if _, is := errors.AsType[*server.VersionError](err); !is || !strings.Contains(err.Error(), "written by a newer holdfastd: "+segment+" has format version ") {
					t.Errorf("started with %v", err)
				}
				if after, err := disk.ReadFile(segment); err != nil || !bytes.Equal(after, b) {
					t.Errorf("%s was changed: %v", segment, err)
				}
			})
		})
	}
}
