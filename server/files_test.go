package server_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// write replaces a file that only its owner may read.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// Certificates are replaced when their files change. If the new files cannot be used, the old
// certificates stay, and the log says so once.
func TestCertificatesAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, log, dir := servertest.NewCA(t), new(recording), t.TempDir()
		cert, key, authority := ca.Files(dir, "a")
		i := servertest.New(t, logged(log), servertest.Config(func(c *server.Config) {
			c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key, ClientCA: authority}
		}))
		presented := func() string {
			t.Helper()
			c, err := dialTLS(t, i, ca.Client("app"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			c.logon("app")
			return c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
		}
		open, err := dialTLS(t, i, ca.Client("open"))
		if err != nil {
			t.Fatal(err)
		}
		open.logon("open")
		if s := i.Server().Status().Sessions; len(s) != 1 || s[0].TLS != "TLS 1.3" {
			t.Errorf("status of the sessions: %+v", s)
		}
		first := presented()

		write(t, cert, "nonsense")
		time.Sleep(10 * time.Second)
		if presented() != first {
			t.Error("the old certificate did not stay")
		}
		if n := len(log.lines("a changed file cannot be used")); n != 1 {
			t.Errorf("%d lines about the bad file in\n%s", n, log.buf.String())
		}
		if err := i.Server().Reload(); err == nil || !strings.Contains(err.Error(), "clients.tls: cert "+cert) {
			t.Errorf("Reload returned %v", err)
		}

		ca.NotAfter = time.Now().Add(10*24*time.Hour + time.Hour)
		ca.Files(dir, "a")
		time.Sleep(2 * time.Second)
		if presented() == first {
			t.Error("the certificate was not replaced")
		}
		if c := i.Server().Status().Certificates; len(c) != 1 || c[0].Field != "clients.tls" || c[0].DaysLeft != 10 {
			t.Errorf("status: %+v", c)
		}
		ca.Files(dir, "a")
		second := presented()
		if err := i.Server().Reload(); err != nil || presented() == second {
			t.Errorf("Reload returned %v, or replaced nothing", err)
		}
		open.publish("orders", 1, 1) // the open connection stays
		open.awaitPersisted(1, "")
	})
}

// The log warns about a certificate that expires within two weeks.
func TestCertificateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for days, want := range map[int]int{-1: 1, 13: 1, 15: 0} {
			ca, log := servertest.NewCA(t), new(recording)
			ca.NotAfter = time.Now().Add(time.Duration(days)*24*time.Hour + time.Hour)
			cert, key, _ := ca.Files(t.TempDir(), "a")
			i := servertest.New(t, logged(log), servertest.Config(func(c *server.Config) { c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key} }))
			synctest.Wait()
			if c := i.Server().Status().Certificates; len(c) != 1 || c[0].DaysLeft != days {
				t.Errorf("%d days: status %+v", days, c)
			}
			if n := len(log.lines("a certificate expires soon")); n != want {
				t.Errorf("%d days: %d warnings in\n%s", days, n, log.buf.String())
			}
		}
	})
}

// A certificate that expires does not end the sessions that began with it.
func TestSessionsOutliveCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := servertest.NewCA(t)
		ca.NotAfter = time.Now().Add(time.Hour)
		i := servertest.New(t, servertest.TLS(ca))
		c, err := dialTLS(t, i, ca.Client("app"))
		if err != nil {
			t.Fatal(err)
		}
		c.logon("app")
		for minute := range uint64(70) { // a client that is silent for longer is idle
			time.Sleep(time.Minute)
			c.publish("orders", minute+1, minute+1)
			c.awaitPersisted(minute+1, "")
		}
		if _, err := dialTLS(t, i, ca.Client("app")); err == nil {
			t.Error("the certificate has not expired: the test proves nothing")
		}
	})
}

// An authority that is removed refuses new connections, and those that would resume an earlier one.
func TestAuthorityIsRemoved(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			ca, other := servertest.NewCA(t), servertest.NewCA(t)
			cert, key, authority := ca.Files(t.TempDir(), "a")
			_, _, otherAuthority := other.Files(t.TempDir(), "a")
			i := servertest.New(t, servertest.Config(func(c *server.Config) {
				c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key, ClientCA: authority, MinVersion: "1.2"}
			}))
			cfg := ca.Client("app")
			cfg.ClientSessionCache, cfg.MaxVersion = tls.NewLRUClientSessionCache(8), version
			for range 2 {
				if !logsOn(t, i, cfg) {
					t.Fatal("cannot log on")
				}
			}
			text, err := os.ReadFile(otherAuthority)
			if err != nil {
				t.Fatal(err)
			}
			write(t, authority, string(text))
			time.Sleep(2 * time.Second)
			if logsOn(t, i, cfg) {
				t.Errorf("version %#x: a client of the removed authority has logged on", version)
			}
		})
	}
}

// The secret of the links is replaced on one instance after the other. The link stays, and each
// link that is made meanwhile is accepted.
func TestSecretIsReplaced(t *testing.T) {
	const first, second = "0101010101010101010101010101010101010101010101010101010101010101\n", "0202020202020202020202020202020202020202020202020202020202020202\n"
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		secret := func(name string) string { return filepath.Join(dir, name+".key") }
		pair := servertest.NewPair(t, servertest.Unstarted(), servertest.Config(func(c *server.Config) {
			c.Replication.SecretKey, c.Replication.Secret = nil, secret(c.Name)
		}))
		write(t, secret("a"), first)
		write(t, secret("b"), first)
		pair.A.Restart()
		pair.B.Restart()
		pair.AwaitReady()
		for n, step := range []struct{ instance, text string }{
			{"a", first + second}, {"b", second + first}, {"a", second}, {"b", second}, {"a", first}, {"a", second},
		} {
			write(t, secret(step.instance), step.text)
			time.Sleep(2 * time.Second)
			if l := pair.A.Server().Status().Links[0]; l.State != "sync" {
				t.Errorf("step %d has ended the link: %+v", n, l)
			}
			testdoor.Part[*memnet.Network](pair).Reset("a", "b")
			time.Sleep(10 * time.Second)
			state, want := pair.A.Server().Status().Links[0].State, "sync"
			if step.text == first {
				want = "down" // the two have different secrets
			}
			if state != want {
				t.Errorf("after step %d a new link is %s", n, state)
			}
			if want == "down" {
				write(t, secret(step.instance), second)
				time.Sleep(10 * time.Second)
			}
		}
	})
}

// adminClient returns a client for the admin port.
func adminClient(i *servertest.Instance, cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: i.Dial, TLSClientConfig: cfg, DisableKeepAlives: true}}
}

// With a token the admin port answers only requests that present it, except those of /livez and
// /readyz. The token is read again when its file changes.
func TestAdminToken(t *testing.T) {
	const token, other = "0123456789abcdef", "fedcba9876543210"
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		write(t, file, token+"\n")
		i := servertest.New(t, servertest.Config(func(c *server.Config) {
			c.Admin = server.AdminPort{Listen: "a:8085", Token: file}
		}))
		ask := func(path, authorization string, want int) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a:8085"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			answer, err := adminClient(i, nil).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != want {
				t.Errorf("%s with %q: %s", path, authorization, answer.Status)
			}
			if want == http.StatusUnauthorized && (!bytes.Contains(body, []byte("Authorization: Bearer")) || answer.Header.Get("WWW-Authenticate") == "" || bytes.Contains(body, []byte(`"name"`))) {
				t.Errorf("%s with %q: %q, %v", path, authorization, body, answer.Header)
			}
		}
		for _, path := range []string{"/livez", "/readyz"} {
			ask(path, "", http.StatusOK)
		}
		for _, path := range []string{"/status", "/publishers", "/insync", "/status?list=subscriptions", "/status?after=/livez", "/none", "//livez/../status"} {
			for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer " + other, "Bearer " + token + "x", "Basic " + token, token} {
				ask(path, wrong, http.StatusUnauthorized)
			}
		}
		ask("/status", "Bearer "+token, http.StatusOK)
		ask("/publishers", "Bearer "+token, http.StatusOK)
		write(t, file, other)
		time.Sleep(2 * time.Second)
		ask("/status", "Bearer "+token, http.StatusUnauthorized)
		ask("/status", "Bearer "+other, http.StatusOK)
	})
}

// The admin port has TLS, and clients that do not read the end of a connection do not hold up the
// end of the instance.
func TestAdminTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := servertest.NewCA(t)
		cert, key, _ := ca.Files(t.TempDir(), "a")
		i := servertest.New(t, servertest.Config(func(c *server.Config) {
			c.Admin = server.AdminPort{Listen: "a:8085", BearerToken: "0123456789abcdef", TLS: &server.PortTLS{Cert: cert, Key: key}}
		}))
		answer, err := adminClient(i, ca.Client()).Get("https://a:8085/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Error(answer.Status)
		}
		if answer, err = adminClient(i, nil).Get("http://a:8085/readyz"); err != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %v, %v", answer, err)
		} else {
			answer.Body.Close()
		}
		c := dialAdmin(t, i)
		nc := tls.Client(c.conn, &tls.Config{RootCAs: ca.Pool(), ServerName: "a"})
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		for range 500 { // more responses than the network holds
			if _, err := fmt.Fprintf(nc, "GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		began := time.Now()
		i.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the end took %v", took)
		}
	})
}
