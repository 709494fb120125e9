package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

const auditFile = "audit.log"

// toFile has the audit log of an instance written to auditFile on its disk.
func toFile(c *server.Config) { c.Audit.File = auditFile }

// auditText returns the text of an audit log.
func auditText(t *testing.T, disk seglog.FS) string {
	t.Helper()
	f, err := disk.OpenFile(auditFile, 0)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	text, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	must(t, err)
	return string(text)
}

// audited returns the lines of an audit log as texts "event key=value …" with sorted keys. It
// checks the keys that every line has, and those of lines about clients, and leaves out times,
// instance and address.
func audited(t *testing.T, disk seglog.FS) (lines []string) {
	t.Helper()
	for text := range strings.Lines(auditText(t, disk)) {
		line := make(map[string]any)
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(line["time"])); err != nil || !at.Equal(time.Now()) && at.After(time.Now()) {
			t.Errorf("time %v: %v", line["time"], err)
		}
		if line["instance"] != "a" {
			t.Errorf("the instance is not named: %s", text)
		}
		_, ofClient := line["client"]
		if address := line["address"]; ofClient && (address == nil || address == "") || ofClient && line["user"] == nil {
			t.Errorf("user or address is missing: %s", text)
		}
		event := fmt.Sprint(line["event"])
		for _, key := range []string{"time", "event", "instance", "address", "duration_ms"} {
			delete(line, key)
		}
		for _, key := range slices.Sorted(maps.Keys(line)) {
			event += fmt.Sprintf(" %s=%v", key, line[key])
		}
		lines = append(lines, event)
	}
	return lines
}

// wantAudited compares the lines of an audit log.
func wantAudited(t *testing.T, i *servertest.Instance, want ...string) {
	t.Helper()
	synctest.Wait()
	got := audited(t, diskOf(i))
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the audit log is\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// noHash is the hash of permissions that an Authorizer states none for.
var noHash = strings.Repeat("0", 64)

// notOrders is a permission for all topics but orders.
func notOrders(topic []byte) bool { return string(topic) != "orders" }

// Logons, refusals, changed permissions and the ends of sessions are in the audit log. Passwords
// are not.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := (&rules{}).set(map[string]server.Permissions{"joe": {Publish: notOrders, Subscribe: notOrders, Limits: server.UserLimits{Subscriptions: 1, Connections: 1}}})
		i := servertest.New(t, servertest.Config(toFile), servertest.Config(func(c *server.Config) { c.Authenticator, c.Authorizer = asks{"secret"}, r }))
		logon := func(c *raw, password string) {
			t.Helper()
			c.send(fmt.Sprintf(logonJoe, "password"))
			c.expect(challenge(0))
			c.send(fmt.Sprintf(logonJoe, password))
		}
		wrong := dial(t, i)
		logon(wrong, "guess")
		wrong.expect(authFailure)
		wrong.wantClosed()
		none := dial(t, i)
		none.send(`{"c":"publish","t":"orders"}`)
		none.next()
		none.wantClosed()

		c := dial(t, i)
		logon(c, "secret")
		c.message()
		c.publish("orders", 1, 2)
		c.send(`{"c":"subscribe","cid":"1","t":"orders"}`)
		c.send(`{"c":"subscribe","cid":"2","t":"other","a":"processed"}`)
		c.send(`{"c":"subscribe","cid":"3","t":"third","a":"processed"}`)
		time.Sleep(time.Second)
		second := dial(t, i)
		second.send(strings.Replace(fmt.Sprintf(logonJoe, ""), `"x"`, `"y"`, 1))
		second.expect(challenge(0))
		second.send(strings.Replace(fmt.Sprintf(logonJoe, "secret"), `"x"`, `"y"`, 1))
		second.next()
		second.wantClosed()

		r.set(map[string]server.Permissions{"joe": {Subscribe: func([]byte) bool { return false }}})
		i.Server().PermissionsChanged()
		synctest.Wait()
		r.set(map[string]server.Permissions{})
		i.Server().PermissionsChanged()
		i.Server().PermissionsChanged() // the session has ended already
		time.Sleep(5 * time.Second)
		const joe = " user=joe"
		wantAudited(t, i,
			"logon_refused client=x reason=wrong answer"+joe,
			"logon_refused client= reason=logon required user=",
			"logon client=x extended=false tls=false"+joe,
			"publish_refused client=x reason=not entitled topic=orders"+joe,
			"subscribe_refused client=x reason=not entitled topic=orders"+joe,
			"limit client=x reason=too many subscriptions topic=third"+joe,
			"logon_refused client=y reason=too many sessions of the user"+joe,
			"limit client=y reason=too many sessions of the user"+joe,
			"permissions_changed after=0 before=0 hash="+noHash,
			"subscribe_refused client=x reason=not entitled topic=other"+joe,
			"permissions_changed after=0 before=0 hash="+noHash,
			"session_ended client=x reason=auth failure: the user may not log on any more"+joe,
			"permissions_changed after=0 before=0 hash="+noHash,
			"logoff client=x reason=auth failure: the user may not log on any more"+joe,
		)
		for _, secret := range []string{"password", "secret", "guess"} {
			if strings.Contains(auditText(t, diskOf(i)), secret) {
				t.Errorf("the audit log contains the password %q", secret)
			}
		}
		time.Sleep(2 * time.Minute)
		if lines := audited(t, diskOf(i)); !slices.Contains(lines, "publish_refused client=x left_out=1 reason=not entitled topic=orders user=joe") {
			t.Errorf("nothing says that a line was left out: %s", lines)
		}
	})
}

// versioned are permissions with a version.
type versioned struct {
	rules
	version uint64
}

func (v *versioned) Version() server.PermissionsVersion {
	return server.PermissionsVersion{Number: v.version}
}

// A change of the permissions has both versions.
func TestAuditOfPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &versioned{version: 7}
		r.set(nil)
		i := servertest.New(t, servertest.Config(toFile), servertest.Config(func(c *server.Config) { c.Authenticator, c.Authorizer = asks(nil), r }))
		for _, r.version = range []uint64{8, 10} {
			i.Server().PermissionsChanged()
		}
		wantAudited(t, i, "permissions_changed after=8 before=7 hash="+noHash, "permissions_changed after=10 before=8 hash="+noHash)
	})
}

// A client that repeats a refused command causes a line per topic and minute, whatever it sends.
// Long texts are shortened.
func TestAuditBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := (&rules{}).set(map[string]server.Permissions{"joe": {Publish: func([]byte) bool { return false }}})
		i := servertest.New(t, servertest.Config(toFile), servertest.Config(func(c *server.Config) {
			c.Authenticator, c.Authorizer, c.Limits.Topic = asks(nil), r, 10_000
		}))
		c := dial(t, i)
		c.send(fmt.Sprintf(logonJoe, ""))
		c.message()
		for n := range 1000 {
			c.send(`{"c":"p","t":"one"}`)
			c.send(fmt.Sprintf(`{"c":"p","t":"%d%s"}`, n, strings.Repeat("x", 5000)))
		}
		time.Sleep(30 * time.Second)
		text := auditText(t, diskOf(i))
		if n := strings.Count(text, "\n"); n < 2 || n > 100 {
			t.Errorf("%d lines", n)
		}
		if n := strings.Count(text, `"one"`); n != 1 {
			t.Errorf("%d lines about one topic", n)
		}
		if !strings.Contains(text, "x… (5001 bytes)") || len(text) > 100<<10 {
			t.Errorf("%d bytes", len(text))
		}
		time.Sleep(time.Minute)
		text = auditText(t, diskOf(i))
		if n := strings.Count(text, `"left_out":`); n != 2 || !strings.Contains(text, `"left_out":999`) {
			t.Errorf("%d lines with left_out", n)
		}
	})
}

// A blocked is a handler that blocks until it is closed.
type blocked struct {
	slog.Handler
	until chan struct{}
}

func (b blocked) Handle(ctx context.Context, r slog.Record) error { <-b.until; return nil }

func (b blocked) WithAttrs([]slog.Attr) slog.Handler { return b }

// While the audit log blocks, clients log on, publish and leave, and the instance stops within the
// time that it gives the audit log. It counts the lines that are lost.
func TestAuditBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := blocked{slog.DiscardHandler, make(chan struct{})}
		b.Handler = slog.NewTextHandler(io.Discard, nil) // enabled
		r := (&rules{}).set(map[string]server.Permissions{"joe": {Publish: notOrders}})
		i := servertest.New(t, servertest.Config(func(c *server.Config) {
			c.Authenticator, c.Authorizer, c.Audit.Logger = asks(nil), r, slog.New(b)
		}))
		defer close(b.until)
		began := time.Now()
		for range 5000 {
			c := dial(t, i)
			c.send(fmt.Sprintf(logonJoe, ""))
			if m := c.message(); string(m.Status) != "success" {
				t.Fatalf("%s %s", m.Status, m.Reason)
			}
			c.conn.Close()
			synctest.Wait()
		}
		c := dial(t, i)
		c.send(fmt.Sprintf(logonJoe, ""))
		c.message()
		c.publish("other", 1, 1)
		c.awaitPersisted(1, "")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the clients took %v", took)
		}
		if n := i.Server().Status().AuditDropped; n == 0 {
			t.Error("no lines are dropped")
		}
		began = time.Now()
		i.Close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// A stop writes the lines that wait. The next start continues the file.
func TestAuditAcrossStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Config(toFile))
		for n := range 2 {
			c := dial(t, i)
			c.logon(fmt.Sprint("c", n))
			i.Close()
			i.Restart()
			i.AwaitReady()
		}
		wantAudited(t, i,
			"logon client=c0 extended=false tls=false user=", "logoff client=c0 reason=the instance stops user=",
			"logon client=c1 extended=false tls=false user=", "logoff client=c1 reason=the instance stops user=")
	})
}

// Connections that are closed because there are too many are in the audit log, once per address.
func TestAuditOfLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Config(toFile), servertest.Config(func(c *server.Config) { c.Limits.PerAddress = 2 }))
		dial(t, i).logon("a")
		dial(t, i).logon("b")
		for range 3 {
			dial(t, i).wantClosed()
		}
		synctest.Wait()
		lines := audited(t, diskOf(i))
		if lines = lines[2:]; len(lines) != 1 || lines[0] != "limit client= reason=too many connections user=" {
			t.Errorf("the lines are %s", lines)
		}
	})
}

// A control request is in the audit log, with its arguments and result.
func TestAuditOfControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cfg server.Config
		i := servertest.New(t, servertest.Config(toFile), servertest.Config(func(c *server.Config) { cfg = *c }))
		synctest.Wait() // a request from before the start is ignored
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := server.SendControl(ctx, cfg, server.ControlDeclareLost, "b", "c")
		if err == nil {
			t.Fatal("a lone instance has declared others lost")
		}
		wantAudited(t, i, "control action=lost arguments=b c done=false reply="+err.Error())
	})
}

// A link with another secret is refused, and both instances write that to their audit logs.
func TestAuditOfLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Unstarted(), servertest.Config(toFile), servertest.Config(func(c *server.Config) {
			r := *c.Replication
			r.SecretKey = []byte(strings.Repeat(c.Name, 32))
			c.Replication = &r
		}))
		pair.A.Restart()
		pair.B.Restart()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		by := make(map[string]int)
		for _, line := range audited(t, diskOf(pair.A)) {
			event, _, _ := strings.Cut(line, "reason=")
			by[event]++
		}
		if by["link_refused peer= "] != 1 || by["link_refused peer=b "] != 1 || len(by) != 2 {
			t.Errorf("the lines are %s", audited(t, diskOf(pair.A)))
		}
	})
}

// A file that cannot be opened because of its directory prevents the start.
func TestAuditFileNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Unstarted(), servertest.Config(func(c *server.Config) { c.Audit.File = "nowhere/audit.log" }))
		config, is := errors.AsType[*server.ConfigError](i.Start())
		if !is || config.Field != "audit.file" {
			t.Errorf("the start says %v", config)
		}
	})
}
