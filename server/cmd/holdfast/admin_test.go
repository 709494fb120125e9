package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// runningWithToken starts a pair. Its first instance has an admin port with a token. It returns the
// address of that port and a file with the token.
func runningWithToken(t *testing.T) (pair *servertest.Pair, admin, tokenFile string) {
	t.Helper()
	const token = "0123456789abcdef"
	admin, tokenFile = heldport.ForTest(t), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pair = servertest.NewPair(t, servertest.Real(), servertest.Unstarted(), servertest.DowngradeAfter(5*time.Second))
	pair.A.Configure(func(c *server.Config) { c.Admin = server.AdminPort{Listen: admin, BearerToken: token} })
	pair.A.Restart()
	pair.B.Restart()
	pair.A.AwaitReady()
	pair.B.AwaitReady()
	return pair, admin, tokenFile
}

// The commands act on an instance, and each outcome has its exit code.
func TestAdmin(t *testing.T) {
	pair, admin, file := runningWithToken(t)
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("no-such-token-here"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"leave out", []string{"single", admin, "b", "--admin-token-file", file}, exitOK, "acks do not wait for b"},
		{"count", []string{"count", admin, "b", "--admin-token-file", file}, exitOK, "acks wait for b"},
		{"the level", []string{"log-level", admin, "debug", "--admin-token-file", file}, exitOK, "lines of level debug and above"},
		{"no peer", []string{"single", admin, "x", "--admin-token-file", file}, exitFault, `not done: "x" is not a peer`},
		{"no client", []string{"disconnect", admin, "x", "--admin-token-file", file}, exitFault, "no session of client"},
		{"no token", []string{"single", admin, "b"}, exitUsage, "--admin-token-file"},
		{"a wrong token", []string{"single", admin, "b", "--admin-token-file", wrong}, exitUsage, "or another one"},
		{"no level", []string{"log-level", admin, "loud", "--admin-token-file", file}, exitUsage, "debug"},
		{"no argument", []string{"single", admin}, exitUsage, "see holdfast admin single"},
		{"no time", []string{"drain", admin, "--timeout=0"}, exitUsage, "must be above 0"},
		{"no answer", []string{"drain", silent.Addr().String(), "--timeout=200ms"}, exitFailed, "no answer within 200ms"},
		{"another port", []string{"drain", pair.A.Addr()}, exitFailed, "'admin.listen'"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"admin"}, tt.args...), &stdout, &stderr)
		if out := stdout.String() + stderr.String(); code != tt.code || !strings.Contains(out, tt.want) || strings.Contains(out, "no-such-token") {
			t.Errorf("%s: exit code %d, want %d and %q in\n%s", tt.name, code, tt.code, tt.want, out)
		}
	}
	if level := pair.A.Server().LogLevel(); level != slog.LevelDebug {
		t.Errorf("the level of the log is %v", level)
	}
	if level := pair.B.Server().LogLevel(); level != slog.LevelInfo {
		t.Errorf("the level of the peer's log is %v", level)
	}
}

// With --json the output is the reply of the instance, done or not.
func TestAdminJSON(t *testing.T) {
	pair, admin, file := runningWithToken(t)
	ask := func(code int, args ...string) {
		t.Helper()
		out := await(t, code, slices.Concat([]string{"admin"}, args, []string{"--json", "--admin-token-file", file})...)
		var reply server.ActionReply
		if err := json.Unmarshal([]byte(out), &reply); err != nil || reply.Done != (code == exitOK) || reply.Text == "" {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	ask(exitFault, "disconnect", admin, "x")
	ask(exitOK, "drain", admin)
	if err := pair.A.AwaitEnd(); err != nil {
		t.Errorf("the end: %v", err)
	}
}

// An instance without a token lets nobody act.
func TestAdminWithoutPermission(t *testing.T) {
	_, admin := running(t)
	if out := await(t, exitUsage, "admin", "single", admin[0], "b"); !strings.Contains(out, "actions need a permission") {
		t.Error(out)
	}
}
