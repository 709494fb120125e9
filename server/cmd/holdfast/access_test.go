package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A gate stands before an instance. It has TLS, and passes a client on when that has proven the
// password with SCRAM.
type gate struct {
	t       *testing.T
	ln      net.Listener
	backend string
	ca      string // file with its certificate
	wg      sync.WaitGroup
}

const gatePassword = "pencil"

func newGate(t *testing.T, backend string) *gate {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, which is for 127.0.0.1
	web.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, ln: ln, backend: backend, ca: writePEM(t, web.Certificate())}
	g.wg.Go(g.accept)
	t.Cleanup(func() {
		ln.Close()
		g.wg.Wait()
	})
	return g
}

func writePEM(t *testing.T, cert *x509.Certificate) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (g *gate) uri() string { return "tcps://" + g.ln.Addr().String() + "/amps/json" }

func (g *gate) accept() {
	for {
		nc, err := g.ln.Accept()
		if err != nil {
			return
		}
		g.wg.Go(func() {
			defer nc.Close()
			g.serve(nc.(*tls.Conn))
		})
	}
}

// serve logs one client on, and then copies in both directions.
func (g *gate) serve(nc *tls.Conn) {
	frames := wire.NewReader(nc, 1<<20)
	if !g.logon(nc, frames) {
		return
	}
	frame, err := frames.Next() // the logon without a password
	if err != nil {
		return
	}
	backend, err := net.Dial("tcp", g.backend)
	if err != nil {
		return
	}
	defer backend.Close()
	frame = append([]byte{0, 0, byte(len(frame) >> 8), byte(len(frame))}, frame...)
	if _, err := backend.Write(frame); err != nil {
		return
	}
	g.wg.Go(func() {
		io.Copy(nc, backend)
		nc.Close()
	})
	io.Copy(backend, nc)
}

// logon has the conversation with a client, and reports whether it has the password.
func (g *gate) logon(nc *tls.Conn, frames *wire.Reader) bool {
	var server *scram.Server
	for {
		frame, err := frames.Next()
		var m wire.Message
		if err != nil || wire.Parse(frame, &m) != nil {
			return false
		}
		var answer string
		if server == nil {
			state := nc.ConnectionState()
			server = scram.NewServer(scram.Binding(&state), func(string) scram.Verifier { return scram.NewVerifier(gatePassword, 0) })
			initial, _ := scram.CutInitial(string(m.Password))
			answer, _, err = server.First(initial)
		} else if answer, err = server.Final(string(m.Password)); err == nil {
			return g.send(nc, "retry", answer)
		}
		if err != nil {
			g.send(nc, "failure", "")
			return false
		}
		g.send(nc, "retry", answer)
	}
}

func (g *gate) send(nc net.Conn, status, password string) bool {
	header := fmt.Sprintf(`{"c":"ack","cid":"0","a":"processed","status":%q,"pw":%q,"reason":%q}`, status, password, wire.ReasonAuthFailure)
	_, err := nc.Write(append([]byte{0, 0, byte(len(header) >> 8), byte(len(header))}, header...))
	return err == nil
}

// command runs a command and returns its exit code and its output.
func command(args ...string) (code int, text string) {
	var out bytes.Buffer
	code = run(args, &out, &out)
	return code, out.String()
}

// All commands that connect have the flags for users and TLS, and their variables.
func TestAccess(t *testing.T) {
	g := newGate(t, startLone(t, nil).Addr())
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(gatePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	access := []string{"--user=joe", "--password-file=" + secret, "--tls-ca=" + g.ca}
	if code, text := command(append(access, "ping", g.uri())...); code != exitUsage {
		t.Errorf("flags before the command: %d, %s", code, text)
	}
	for _, args := range [][]string{
		append([]string{"ping", g.uri(), "--timeout=1m"}, access...),
		append([]string{"publish", "--server", g.uri(), "--topic", "t", "--file", in}, access...),
		append([]string{"bench", "publish", "--server", g.uri(), "--messages", "10"}, access...),
	} {
		if code, text := command(args...); code != exitOK {
			t.Errorf("%v: %d, %s", args, code, text)
		}
	}
	t.Setenv("HOLDFAST_USER", "joe")
	t.Setenv("HOLDFAST_PASSWORD_FILE", secret)
	t.Setenv("HOLDFAST_TLS_CA", g.ca)
	if code, text := command("subscribe", "--server", g.uri(), "--topic", "t", "--from", "epoch", "--count", "2"); code != exitOK || text != "one\ntwo\n" {
		t.Errorf("variables: %d, %s", code, text)
	}
	if code, text := command("ping", g.uri(), "--timeout=1m", "--tls-ca="); code != exitFault || !strings.Contains(text, "certificate") {
		t.Errorf("another authority: %d, %s", code, text)
	}
}

// ping says that a port has no TLS.
func TestPingWithoutTLS(t *testing.T) {
	if code, text := command("ping", strings.Replace(uri(startLone(t, nil).Addr()), "tcp:", "tcps:", 1), "--timeout=1m"); code != exitFault || !strings.Contains(text, "a port without TLS may answer so") {
		t.Errorf("%d, %s", code, text)
	}
}

// A wrong password ends a command, with advice.
func TestWrongPassword(t *testing.T) {
	g := newGate(t, startLone(t, nil).Addr())
	wrong := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(wrong, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	access := []string{"--user=joe", "--password-file=" + wrong, "--tls-ca=" + g.ca}
	for _, tt := range []struct {
		code int
		args []string
	}{
		{exitFault, []string{"ping", g.uri(), "--timeout=1m"}},
		{exitUsage, []string{"publish", "--server", g.uri(), "--topic", "t", "--file", os.DevNull}},
		{exitUsage, []string{"subscribe", "--server", g.uri(), "--topic", "t"}},
	} {
		code, text := command(append(tt.args, access...)...)
		if code != tt.code || !strings.Contains(text, "auth failure: check --user and --password-file") || strings.Contains(text, "s3cret") {
			t.Errorf("%v: %d, %s", tt.args, code, text)
		}
	}
}

// The file of the password may be a pipe, which can be read only once.
func TestPasswordFromPipe(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	g := newGate(t, startLone(t, nil).Addr())
	out, err := exec.Command("bash", "-c", `"$0" ping "$1" --timeout 1m --tls-ca "$2" --user joe --password-file <(echo "$3")`, asCommand(t), g.uri(), g.ca, gatePassword).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// With - the password is asked for on the terminal, without echo.
func TestPasswordPrompt(t *testing.T) {
	g := newGate(t, startLone(t, nil).Addr())
	term := tmux.Start(t, `"$0" ping "$1" --timeout 1m --tls-ca "$2" --user joe --password-file - </dev/null; stty -a | grep -ow -e '-*echo'`, asCommand(t), g.uri(), g.ca)
	term.Await("Password of joe:")
	term.Type(gatePassword)
	text := term.Check()
	if strings.Contains(text, gatePassword) || !strings.Contains(text, "round trip") || strings.Contains(text, "-echo") {
		t.Errorf("the screen is\n%s", text)
	}
}

// An interrupt at the prompt leaves the terminal with its echo.
func TestInterruptedPrompt(t *testing.T) {
	term := tmux.Start(t, `trap : INT; "$0" ping tcp://127.0.0.1:1 --user joe --password-file -; stty -a | grep -ow -e '-*echo'`, asCommand(t))
	term.Await("Password of joe:")
	term.Type("\x03")
	if text := term.Check(); strings.Contains(text, "-echo") {
		t.Errorf("the screen is\n%s", text)
	}
}

// Without a terminal - is a mistake.
func TestPasswordPromptWithoutTerminal(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("setsid is not installed")
	}
	out, err := exec.Command("setsid", "--wait", asCommand(t), "ping", "tcp://127.0.0.1:1", "--user=joe", "--password-file=-").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "name a file") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestWarnings(t *testing.T) {
	f := accessFlags{User: "joe", PasswordFile: "x", Auth: "password"}
	var text bytes.Buffer
	t.Setenv("HOLDFAST_SERVERS", "tcp://10.0.0.4:9007,tcps://me:s3cret@10.0.0.5:9007")
	f.warn(newScreen(&text, true), []string{"tcp://10.0.0.1:9007", "tcp://127.0.0.1:9007", "tcp://localhost:9007", "tcps://10.0.0.2:9007", "tcp://me:s3cret@10.0.0.3:9007", "tcps://me:s3cret@10.0.0.5:9007"})
	want := "holdfast: the password is sent to tcp://10.0.0.1:9007 in the clear: use a tcps URI, or --auth scram\n" +
		"holdfast: the password in tcp://me:xxxxx@10.0.0.3:9007 can be read by every user of this machine: use --user and --password-file\n"
	if text.String() != want {
		t.Errorf("warned\n%s", &text)
	}
}

// status sends the token to the instances, and reads it anew each time.
func TestStatusToken(t *testing.T) {
	_, admin := running(t)
	const token = "t0ken"
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: admin[0]})
	guarded := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	guarded.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	guarded.StartTLS()
	defer guarded.Close()
	ca := writePEM(t, guarded.Certificate())
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plain := strings.Replace(guarded.URL, "https", "http", 1)
	for _, tt := range []struct {
		name, token string
		args        []string
		code        int
		want        string
	}{
		{"right", token + "\n", []string{guarded.URL, "--admin-token-file", file, "--tls-ca", ca}, exitOK, guarded.URL},
		{"wrong", "other", []string{guarded.URL, "--admin-token-file", file, "--tls-ca", ca}, exitFault, "wants a token, or another one"},
		{"none", token, []string{guarded.URL, "--tls-ca", ca}, exitFault, "--admin-token-file"},
		{"empty", "\n", []string{guarded.URL, "--admin-token-file", file}, exitUsage, "is empty"},
		{"no authority", token, []string{guarded.URL, "--admin-token-file", file}, exitFault, "--tls-ca"},
		{"no TLS", token, []string{plain}, exitFault, "write " + guarded.URL},
		{"TLS at a port without", token, []string{"https://" + admin[0], "--tls-ca", ca}, exitFault, "write http://" + admin[0]},
	} {
		write(tt.token)
		out := await(t, tt.code, append([]string{"status"}, tt.args...)...)
		if !strings.Contains(out, tt.want) || strings.Contains(out, token) || strings.Contains(out, "other\n") {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, out)
		}
	}

	cfg, err := (&tlsFlags{TLSCA: ca}).tlsConfig()
	if err != nil {
		t.Fatal(err)
	}
	client := newAdminClient(time.Minute, cfg)
	client.tokenFile = file
	for _, text := range []string{"other", token} {
		write(text)
		_, err := client.status(t.Context(), adminAddress(guarded.URL))
		if (err == nil) != (text == token) {
			t.Errorf("token %q: %v", text, err)
		}
	}
}

// status and admin present the certificate of an operator to an instance that requires one.
func TestOperatorCertificate(t *testing.T) {
	_, admin := running(t)
	ca := servertest.NewCA(t)
	cert, key, authority := ca.Files(t.TempDir(), "operator")
	guarded := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: admin[0]}))
	guarded.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	guarded.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Certificate("127.0.0.1")}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
	guarded.StartTLS()
	defer guarded.Close()
	files := []string{"--tls-ca", authority, "--tls-cert", cert, "--tls-key", key}
	if out := await(t, exitOK, append([]string{"status", guarded.URL}, files...)...); !strings.Contains(out, guarded.URL) {
		t.Errorf("status:\n%s", out)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", guarded.URL, "--tls-ca", authority}, exitFault, "give --tls-cert and --tls-key"},
		{[]string{"status", guarded.URL, "--tls-cert", cert}, exitUsage, "belong together"},
		{append([]string{"admin", "log-level", guarded.URL, "info"}, files[:2]...), exitFailed, "give --tls-cert and --tls-key"},
		{append([]string{"admin", "log-level", guarded.URL, "info"}, files...), exitUsage, "not permitted"}, // the proxy has no certificate
	} {
		if out := await(t, tt.code, tt.args...); !strings.Contains(out, tt.want) {
			t.Errorf("%q: no %q in\n%s", tt.args, tt.want, out)
		}
	}
}

// onlyOrders authenticates every client, and allows the client name "gw" and the topic "orders" alone.
type onlyOrders struct{}

func (onlyOrders) Authenticate(context.Context, *server.Logon) (string, error) { return "joe", nil }

func (onlyOrders) Permissions(string) (server.Permissions, bool) {
	orders := func(topic []byte) bool { return string(topic) == "orders" }
	return server.Permissions{ClientName: func(name string) bool { return name == "gw" }, Publish: orders, Subscribe: orders}, true
}

func (onlyOrders) Version() server.PermissionsVersion {
	return server.PermissionsVersion{Hash: [32]byte{1}}
}

// What the user may not do is reported with the permission that it lacks.
func TestNotEntitledHints(t *testing.T) {
	s := newShell(t, startLone(t, func(c *server.Config) { c.Authenticator, c.Authorizer = onlyOrders{}, onlyOrders{} }).Addr())
	in := s.write("in", "one\ntwo\n")
	for _, tt := range []struct {
		code  int
		words string
		args  []string
	}{
		{exitFault, "the user may not publish to \"prices\": have its 'publish' allow the topic on every server, then publish the rejected lines again", []string{"publish", "--name", "gw", "--topic", "prices", "--file", in}},
		{exitUsage, "user \"joe\" may not have the client name \"other\": use another --name, or have its 'client_names' allow this one on every server", []string{"publish", "--user", "joe", "--name", "other", "--topic", "orders", "--file", in}},
		{exitUsage, "the user may not read this topic: have its 'subscribe' allow it on every server", []string{"subscribe", "--name", "gw", "--topic", "prices"}},
		{exitOK, "round trip", []string{"ping", "--name", "gw"}},
		{exitFault, "user \"joe\" may not have the client name \"holdfast-", []string{"ping", "--user", "joe"}},
	} {
		args := append(tt.args, s.servers...)
		if tt.args[0] == "ping" {
			args = append(tt.args, s.servers[1])
		}
		if code, text := command(args...); code != tt.code || strings.Count(text, tt.words) != 1 {
			t.Errorf("%v: exit %d\n%s", tt.args, code, text)
		}
	}
}

// While a peer is away, a publish that is not entitled is not rejected. The command says why it waits.
func TestPermissionsDifferHint(t *testing.T) {
	i := servertest.New(t, servertest.Real(), servertest.Config(func(c *server.Config) {
		c.Authenticator, c.Authorizer = onlyOrders{}, onlyOrders{}
		c.Group, c.RejoinTimeout, c.Bootstrap = "pair", server.Duration(100*time.Millisecond), true
		c.Replication = &server.Replication{Destinations: []server.Destination{{Name: "b", Address: "127.0.0.1:1", DowngradeAfter: server.Duration(time.Second)}}}
	}))
	i.AwaitReady()
	s := newShell(t, i.Addr())
	code, _, wrong := s.try("publish", "--name", "gw", "--topic", "prices", "--file", s.write("in", "one\n"), "--timeout", "300ms")
	for _, words := range []string{"permissions differ; the user may not publish this there, but another server may allow it", "(--timeout): the user may not publish this there"} {
		if code != exitFailed || !strings.Contains(wrong, words) || strings.Contains(wrong, "clients.listen") {
			t.Errorf("exit %d, want %q in\n%s", code, words, wrong)
		}
	}
}

// byName authenticates a client as the user that it names.
type byName struct{}

func (byName) Authenticate(_ context.Context, l *server.Logon) (string, error) { return l.User, nil }

// A user with the store of another one ends publish, which names the user and the client name.
func TestStoreOfOtherUser(t *testing.T) {
	s := newShell(t, startLone(t, func(c *server.Config) { c.Authenticator = byName{} }).Addr())
	args := []string{"--name", "gw", "--topic", "t", "--store", s.path("out.db"), "--file", s.write("in", "one\n")}
	s.do("publish", append(args, "--user", "ann")...)
	code, _, text := s.try("publish", append(args, "--user", "bob")...)
	want := `publisher of another user: user "bob" with client name "gw" may not use this publish store: log on as the user of the store, or use another --store`
	if code != exitUsage || !strings.Contains(text, want) || strings.Contains(text, "clients.listen") {
		t.Errorf("exit %d\n%s", code, text)
	}
}

// A failed handshake comes with advice, at each command.
func TestTLSAdvice(t *testing.T) {
	ca, other := servertest.NewCA(t), servertest.NewCA(t)
	cert, key, authority := ca.Files(t.TempDir(), "127.0.0.1")
	foreign, foreignKey, _ := other.Files(t.TempDir(), "me")
	i := startLone(t, func(c *server.Config) { c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key, ClientCA: authority} })
	uri := "tcps://" + i.Addr() + "/amps/json"
	for _, tt := range []struct {
		words string
		args  []string
	}{
		{"name the authority of its certificate as --tls-ca", nil},
		{"the server requires a certificate from its 'client_ca'", []string{"--tls-ca", authority}},
		{"the server does not accept the certificate in --tls-cert: it must come from its 'client_ca'", []string{"--tls-ca", authority, "--tls-cert", foreign, "--tls-key", foreignKey}},
	} {
		for _, base := range [][]string{
			{"ping", uri},
			{"publish", "--server", uri, "--topic", "t", "--file", os.DevNull, "--timeout", "1s"},
			{"subscribe", "--server", uri, "--topic", "t", "--timeout", "1s"},
		} {
			if code, text := command(append(base, tt.args...)...); code == exitOK || !strings.Contains(text, tt.words) {
				t.Errorf("%v %v: exit %d, want %q in\n%s", base, tt.args, code, tt.words, text)
			}
		}
	}
}

// help is a command, too.
func TestHelpCommand(t *testing.T) {
	for args, want := range map[string]string{"help": "Usage: holdfast <command>", "help publish": "Usage: holdfast publish"} {
		if code, text := command(strings.Fields(args)...); code != exitOK || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d\n%s", args, code, text)
		}
	}
}

// A removed user is told that it was accepted before.
func TestRemovedUser(t *testing.T) {
	c := connection{screen: newScreen(new(bytes.Buffer), true)}
	var ended error
	c.cancel = func(err error) { ended = err }
	c.connected(client.ServerInfo{})
	for range 3 {
		c.disconnected("tcp://a", &client.CommandError{Command: "logon", Reason: wire.ReasonAuthFailure})
	}
	if ended == nil || !strings.Contains(ended.Error(), "the user was removed or has other credentials now") {
		t.Errorf("the command ends with %v", ended)
	}
}

// Nothing is called safe if nothing was published.
func TestResultOfRejectedLines(t *testing.T) {
	for r, want := range map[publishResult]string{
		{Lines: 2, Rejected: 2}: "0 of 2 lines published, 2 rejected",
		{Lines: 2, Rejected: 1}: "1 of 2 lines published, 1 rejected; safe on every server",
		{}:                      "0 lines published; safe on every server",
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
