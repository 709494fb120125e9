package main

import (
	"bytes"
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

	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
	"github.com/holdfast-mq/holdfast/internal/wire"
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
		append([]string{"ping", g.uri()}, access...),
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
	if code, text := command("ping", g.uri(), "--tls-ca="); code != exitFault || !strings.Contains(text, "certificate") {
		t.Errorf("another authority: %d, %s", code, text)
	}
}

// ping says that a port has no TLS.
func TestPingWithoutTLS(t *testing.T) {
	if code, text := command("ping", strings.Replace(uri(startLone(t, nil).Addr()), "tcp:", "tcps:", 1)); code != exitFault || !strings.Contains(text, "a port without TLS may answer so") {
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
		{exitFault, []string{"ping", g.uri()}},
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
	out, err := exec.Command("bash", "-c", `"$0" ping "$1" --tls-ca "$2" --user joe --password-file <(echo "$3")`, asCommand(t), g.uri(), g.ca, gatePassword).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// With - the password is asked for on the terminal, without echo.
func TestPasswordPrompt(t *testing.T) {
	g := newGate(t, startLone(t, nil).Addr())
	term := tmux.Start(t, `"$0" ping "$1" --tls-ca "$2" --user joe --password-file - </dev/null; stty -a | grep -ow -e '-*echo'`, asCommand(t), g.uri(), g.ca)
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

	pool, err := readRoots(ca)
	if err != nil {
		t.Fatal(err)
	}
	client := newAdminClient(3*time.Second, pool)
	client.tokenFile = file
	for _, text := range []string{"other", token} {
		write(text)
		_, err := client.status(t.Context(), adminAddress(guarded.URL))
		if (err == nil) != (text == token) {
			t.Errorf("token %q: %v", text, err)
		}
	}
}
