package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// challenge asks for another logon.
func (ss *session) challenge(text string) {
	ss.sendHeader(fmt.Sprintf(`{"c":"ack","cid":"0","a":"processed","status":"retry","pw":%q}`, text), "")
}

// refuseLogon answers a logon with a failure.
func (ss *session) refuseLogon(reason string) {
	ss.ack(wire.AckMessage{CommandID: "0", Type: wire.AckProcessed, Reason: reason})
}

// converse is the server's side of SCRAM, up to the logon that it has to accept. It returns the
// user, or the error with which the conversation ends.
func (ss *session) converse(password string, binding []byte) (user string, err error) {
	ss.t.Helper()
	verifier := scram.NewVerifier(password, scram.MinIterations)
	server := scram.NewServer(binding, func(string) scram.Verifier { return verifier })
	m := ss.expect(wire.Logon)
	initial, is := scram.CutInitial(string(m.Password))
	if !is {
		ss.t.Fatal("the logon does not begin SCRAM")
	}
	if m.IsExt() || len(m.Store) > 0 {
		ss.t.Error("the client tells the life of its store to a server that has proven nothing")
	}
	first, user, err := server.First(initial)
	if err != nil {
		return user, err
	}
	ss.challenge(first)
	final, err := server.Final(string(ss.expect(wire.Logon).Password))
	if err != nil {
		return user, err
	}
	ss.challenge(final)
	if m := ss.expect(wire.Logon); len(m.Password) > 0 || !m.IsExt() || (len(m.Store) > 0) != (len(m.ClientName) > 0) {
		ss.t.Errorf("the last logon has password %q and store %q", m.Password, m.Store)
	}
	return user, nil
}

// listenTLS is listen for tcps. It returns the roots that the client needs.
func listenTLS(t *testing.T, n *memnet.Network, host string, max uint16) (*script, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	s := listen(t, n, host)
	s.tls.Store(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: max})
	return s, roots
}

// attempts returns a hook that records why attempts failed.
func attempts(cfg *client.Config) *[]error {
	errs := new([]error)
	cfg.Hooks.Disconnected = func(_ string, err error) { *errs = append(*errs, err) }
	return errs
}

func TestSCRAM(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.Authenticator = client.SCRAM("joe", "pencil")
		c := start(t, cfg)
		ss := srv.accept()
		if user, err := ss.converse("pencil", nil); user != "joe" || err != nil {
			t.Fatalf("user %q, %v", user, err)
		}
		ss.acceptLogon(0, 0)
		publish(t, c, 1)
		ss.expectPublishes(1)
	})
}

// With TLS 1.3 the proofs are bound to the connection.
func TestSCRAMOverTLS(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv, roots := listenTLS(t, n, "a", version)
				cfg := config(n)
				cfg.Servers = []string{"tcps://a:9007/amps/json"}
				cfg.RequireTLS = true
				cfg.TLS = &tls.Config{RootCAs: roots}
				cfg.Authenticator = client.SCRAM("joe", "pencil")
				ended := attempts(&cfg)
				c := start(t, cfg)

				ss := srv.accept() // somebody in between passes the proofs on
				if _, err := ss.converse("pencil", []byte("another connection")); version == tls.VersionTLS13 && (err == nil || !strings.Contains(err.Error(), "intercepted")) {
					t.Fatalf("a proof for another connection: %v", err)
				}
				ss.refuseLogon(wire.ReasonAuthFailure)
				ss.close()

				ss = srv.accept()
				if err := ss.nc.(*tls.Conn).Handshake(); err != nil {
					t.Fatal(err)
				}
				state := ss.nc.(*tls.Conn).ConnectionState()
				binding := scram.Binding(&state)
				if bound := binding != nil; bound != (version == tls.VersionTLS13) {
					t.Errorf("binding %v", bound)
				}
				if _, err := ss.converse("pencil", binding); err != nil {
					t.Fatal(err)
				}
				ss.acceptLogon(0, 0)
				publish(t, c, 1)
				ss.expectPublishes(1)
				synctest.Wait()
				if len(*ended) != 1 || !errors.Is((*ended)[0], client.ErrNotAuthenticated) {
					t.Errorf("ended with %v", *ended)
				}
			})
		})
	}
}

// A server that has not proven that it knows the password is not believed: it can neither accept the
// client, nor acknowledge, reject or give up its messages.
func TestServerSkipsProof(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*session)
		want   error // nil: any
	}{
		"accepts at once": {func(ss *session) { ss.acceptLogon(0, 0) }, client.ErrServerNotProven},
		"accepts early": {func(ss *session) {
			initial, _ := scram.CutInitial(string(ss.expect(wire.Logon).Password))
			ss.challenge(initial[strings.Index(initial, ",r=")+1:] + "x,s=c2FsdHNhbHQ=,i=4096")
			ss.expect(wire.Logon)
			ss.acceptLogon(1, 1)
		}, client.ErrServerNotProven},
		"signs wrongly": {func(ss *session) {
			initial, _ := scram.CutInitial(string(ss.expect(wire.Logon).Password))
			ss.challenge(initial[strings.Index(initial, ",r=")+1:] + "x,s=c2FsdHNhbHQ=,i=4096")
			ss.expect(wire.Logon)
			ss.challenge("v=AAAA")
		}, client.ErrServerNotProven},
		"acknowledges":   {func(ss *session) { ss.persisted(1) }, client.ErrServerNotProven},
		"rejects":        {func(ss *session) { ss.reject(1, "not wanted") }, client.ErrServerNotProven},
		"diverged":       {func(ss *session) { ss.refuseLogon(wire.ReasonPublisherDiverged) }, nil},
		"diverged later": {func(ss *session) { ss.refuse(wire.ReasonPublisherDiverged) }, nil},
		"id taken":       {func(ss *session) { ss.refuseLogon(wire.ReasonPublisherIDTaken) }, nil},
		"name in use":    {func(ss *session) { ss.refuseLogon(wire.ReasonNameInUse) }, nil},
		"no password":    {func(ss *session) { ss.refuseLogon(wire.ReasonAuthFailure) }, client.ErrNotAuthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				a, b := listen(t, n, "a"), listen(t, n, "b")
				cfg := config(n, "a", "b")
				cfg.Authenticator = client.SCRAM("joe", "pencil")
				cfg.Hooks.FailedWrite = func(e *client.RejectedError) { t.Errorf("message given up: %v", e) }
				cfg.Hooks.LifeRenewed = func(err error) { t.Errorf("new life: %v", err) }
				cfg.Hooks.Connected = func(i client.ServerInfo) {
					if strings.Contains(i.Server, "//a:") {
						t.Error("the client is logged on to the impostor")
					}
				}
				ended := attempts(&cfg)
				cl := start(t, cfg)
				publish(t, cl, 1)
				ss := a.accept()
				c.answer(ss)
				ss = b.accept()
				if _, err := ss.converse("pencil", nil); err != nil {
					t.Fatal(err)
				}
				ss.acceptLogon(0, 0)
				ss.expectPublishes(1)
				synctest.Wait()
				if len(*ended) != 1 || c.want != nil && !errors.Is((*ended)[0], c.want) {
					t.Errorf("ended with %v, want %v", *ended, c.want)
				}
				for _, err := range *ended {
					if errors.Is(err, client.ErrNameInUse) || strings.Contains(err.Error(), "pencil") {
						t.Errorf("ended with %v", err)
					}
				}
			})
		})
	}
}

// Each attempt reads the file of the password again. A wrong password is reported at each attempt,
// and does not end the client.
func TestFreshCredentials(t *testing.T) {
	for name, authenticator := range map[string]func(user, path string) client.Authenticator{
		"password": client.PasswordFile, "token": client.TokenFile,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secret")
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				cfg := config(n, "a")
				cfg.Authenticator = authenticator("joe", path)
				ended := attempts(&cfg)
				c := start(t, cfg)
				srv.accept().expectClosed() // no file yet
				for _, secret := range []string{"first", "second"} {
					if err := os.WriteFile(path, []byte(secret+"\r\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					ss := srv.accept()
					if m := ss.expect(wire.Logon); string(m.UserID) != "joe" || string(m.Password) != secret {
						t.Errorf("user %q, password %q, want %q", m.UserID, m.Password, secret)
					}
					ss.refuseLogon(wire.ReasonAuthFailure)
					ss.close()
				}
				ss := srv.accept()
				ss.expect(wire.Logon)
				ss.acceptLogon(0, 0)
				publish(t, c, 1)
				ss.expectPublishes(1)
				synctest.Wait()
				if len(*ended) != 3 || !errors.Is((*ended)[0], fs.ErrNotExist) {
					t.Fatalf("ended with %v", *ended)
				}
				for _, err := range (*ended)[1:] {
					var refused *client.CommandError
					if !errors.Is(err, client.ErrNotAuthenticated) || !errors.As(err, &refused) || refused.Reason != wire.ReasonAuthFailure {
						t.Errorf("ended with %v", err)
					}
				}
			})
		})
	}
}

// The search for messages that a server has removed has a conversation of its own with the other
// server.
func TestSearchHasConversation(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n, "a", "b")
		cfg.Authenticator = client.SCRAM("joe", "pencil")
		c := start(t, cfg)
		ss := a.accept()
		if _, err := ss.converse("pencil", nil); err != nil {
			t.Fatal(err)
		}
		ss.ack(wire.AckMessage{CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true, HasSequence: true, Ext: true, Max: limit, Instance: "a", Peers: "b"})
		subscribed := subscribe(t, c, client.From(client.Epoch))
		m := ss.expect(wire.Subscribe)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: wire.ReasonBookmarkNotFound, SubID: string(m.SubID), Gap: "5|1|3"})
		side := b.accept()
		if user, err := side.converse("pencil", nil); user != "joe" || err != nil {
			t.Errorf("user %q, %v", user, err)
		}
		side.ack(wire.AckMessage{CommandID: "0", ClientName: "anonymous-1", Type: wire.AckProcessed, Success: true, Ext: true, Instance: "b", Peers: "a"})
		side.expect(wire.Subscribe)
		c.Close()
		subscribed()
	})
}

// Refused credentials do not make the client hammer the servers.
func TestRefusedCredentialsBackOff(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.Authenticator = client.Password("joe", "wrong")
		c := start(t, cfg)
		began := time.Now()
		for range 30 {
			ss := srv.accept()
			ss.expect(wire.Logon)
			ss.refuseLogon(wire.ReasonAuthFailure)
			ss.close()
		}
		if d := time.Since(began); d < 30*time.Second {
			t.Errorf("30 attempts within %v", d)
		}
		if c.Err() != nil {
			t.Errorf("the client has ended: %v", c.Err())
		}
	})
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	for content, good := range map[string][2]bool{ // as password, as token
		"s3cret": {true, true}, "s3cret\n": {true, true}, " s3cret \n\n": {false, true}, "two\nlines": {false, false},
		"": {false, false}, "\n": {false, false}, " \n ": {false, false}, "s3cret\x00": {false, false}, "s3cret\xff": {false, false},
		strings.Repeat("x", 16<<10): {true, true}, strings.Repeat("x", 16<<10+1): {false, false},
	} {
		path := filepath.Join(dir, "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, a := range []client.Authenticator{client.PasswordFile("joe", path), client.TokenFile("joe", path)} {
			_, secret, err := a.Begin().Answer(t.Context(), client.Challenge{})
			if (err == nil) != good[i] || err == nil && strings.TrimSpace(content) != secret {
				t.Errorf("%.20q: %.20q, %v", content, secret, err)
			}
			if err != nil && (!strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "s3cret")) {
				t.Errorf("%.20q: %v", content, err)
			}
		}
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	for _, a := range []client.Authenticator{client.Password("joe", "s3cret"), client.SCRAM("joe", "s3cret")} {
		conversation := a.Begin()
		conversation.Answer(t.Context(), client.Challenge{})
		for _, v := range []any{client.Config{Authenticator: a}, a} {
			if text := fmt.Sprintf("%+v %#v", v, v); strings.Contains(text, "s3cret") {
				t.Errorf("printed as %s", text)
			}
		}
	}
}

// A password answers no challenge: the server would get it again and again.
func TestPasswordIsSentOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.Authenticator = client.Password("joe", "s3cret")
		ended := attempts(&cfg)
		start(t, cfg)
		ss := srv.accept()
		ss.expect(wire.Logon)
		ss.challenge("again")
		ss.expectClosed()
		srv.accept()
		if err := (*ended)[0]; !strings.Contains(err.Error(), "SCRAM") {
			t.Error(err)
		}
	})
}

// A chooserFunc is a ServerChooser of an application.
type chooserFunc func() client.Choice

func (f chooserFunc) Next(context.Context, client.Outcome) (client.Choice, error) { return f(), nil }

func TestRequireTLS(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		plain := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.RequireTLS = true
		if err := cfg.Check(); !errors.Is(err, client.ErrTLSRequired) || !strings.Contains(err.Error(), "tcp://a:9007") {
			t.Errorf("checked as %v", err)
		}
		cfg.Servers = []string{"tcps://a:9007", "unix://a?path=/run/a.sock"}
		if err := cfg.Check(); err != nil {
			t.Error(err)
		}
		dns, err := client.NewDNS("tcp://joe:s3cret@a:9007", nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Servers, cfg.Chooser = nil, dns
		if err := cfg.Check(); !errors.Is(err, client.ErrTLSRequired) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("checked as %v", err)
		}
		cfg.Chooser = chooserFunc(func() client.Choice {
			return client.Choice{Server: "tcp://a:9007/amps/json", Delay: time.Second}
		})
		ended := attempts(&cfg)
		start(t, cfg)
		plain.expectNoConnection(10 * time.Second)
		synctest.Wait()
		if len(*ended) == 0 || !errors.Is((*ended)[0], client.ErrTLSRequired) {
			t.Errorf("ended with %v", *ended)
		}
	})
}

// A client that uses TLS at a port without it, or the other way round, says so.
func TestTLSHints(t *testing.T) {
	for name, c := range map[string]struct {
		scheme string
		answer func(*session)
		want   string
	}{
		"alert":         {"tcp", func(ss *session) { ss.send([]byte{0x15, 3, 1, 0, 2, 2, 70}) }, "use a tcps URI"},
		"TLS required":  {"tcp", func(ss *session) { ss.refuseLogon(wire.ReasonTLSRequired + ": why") }, "use a tcps URI"},
		"no TLS":        {"tcps", func(ss *session) { ss.refuse(wire.ReasonLogonRequired) }, "use a tcp URI"},
		"no TLS, alert": {"tcps", func(ss *session) { ss.send([]byte{0x15, 3, 1, 0, 2, 2, 40}) }, "use a tcp URI"},
		"hangs up":      {"tcps", func(ss *session) { ss.close() }, "check that it uses TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				cfg := config(n)
				cfg.Servers = []string{c.scheme + "://a:9007/amps/json"}
				ended := attempts(&cfg)
				start(t, cfg)
				c.answer(srv.accept())
				srv.accept()
				if err := (*ended)[0]; !strings.Contains(err.Error(), c.want) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestPasswordInTheClear(t *testing.T) {
	for name, c := range map[string]struct {
		uri           string
		authenticator client.Authenticator
		warnings      int
	}{
		"URI":       {"tcp://joe:s3cret@a:9007", nil, 1},
		"password":  {"tcp://a:9007", client.Password("joe", "s3cret"), 1},
		"SCRAM":     {"tcp://a:9007", client.SCRAM("joe", "s3cret"), 0},
		"none":      {"tcp://joe@a:9007", nil, 0},
		"localhost": {"tcp://joe:s3cret@localhost:9007", nil, 0},
		"loopback":  {"tcp://joe:s3cret@[::1]:9007", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				var log strings.Builder
				cfg := config(n)
				cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return n.Dial(ctx, "a:9007") }
				cfg.Servers, cfg.Authenticator = []string{c.uri}, c.authenticator
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				cl := start(t, cfg)
				for range 3 {
					ss := srv.accept()
					ss.expect(wire.Logon)
					ss.close()
				}
				cl.Close()
				if n := strings.Count(log.String(), "in the clear"); n != c.warnings || strings.Contains(log.String(), "s3cret") {
					t.Errorf("%d warnings, want %d:\n%s", n, c.warnings, &log)
				}
			})
		})
	}
}

func TestAuthenticatorIsChecked(t *testing.T) {
	credentials := func(context.Context, client.Challenge) (string, string, error) { return "", "", nil }
	for name, c := range map[string]struct {
		cfg  client.Config
		want string
	}{
		"both":    {client.Config{Credentials: credentials, Authenticator: client.Password("joe", "x")}, "both Credentials and Authenticator"},
		"no user": {client.Config{Authenticator: client.SCRAM("", "x")}, "user of Authenticator is empty"},
		"control": {client.Config{Authenticator: client.Password("j\x00oe", "x")}, "control character"},
	} {
		c.cfg.Name, c.cfg.Servers = "me", []string{"tcp://a:9007"}
		if err := c.cfg.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A refusal because of missing rights is an error to test for, wherever it appears.
func TestNotEntitled(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var rejected []*client.RejectedError
		cfg := config(n, "a")
		cfg.Hooks.FailedWrite = func(e *client.RejectedError) { rejected = append(rejected, e) }
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.reject(1, wire.ReasonNotEntitled)
		synctest.Wait()
		if len(rejected) != 1 || !errors.Is(rejected[0], client.ErrNotEntitled) || rejected[0].Reason != "not entitled" {
			t.Errorf("rejected %v", rejected)
		}
		subscribed := subscribe(t, c)
		m := ss.expect(wire.Subscribe)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: wire.ReasonNotEntitled})
		if _, err := subscribed(); !errors.Is(err, client.ErrNotEntitled) || errors.Is(err, client.ErrNotAuthenticated) {
			t.Errorf("subscribed with %v", err)
		}
	})
}
