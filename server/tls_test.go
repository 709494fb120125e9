package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/testkit/stretches"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// dialTLS connects to the client port and does the TLS handshake.
func dialTLS(t testing.TB, i *servertest.Instance, cfg *tls.Config) (*raw, error) {
	t.Helper()
	c := dial(t, i)
	cfg = cfg.Clone()
	cfg.ServerName = i.Name()
	nc := tls.Client(c.conn, cfg)
	c.conn = nc
	c.r = stretches.NewReader(wire.NewReader(nc, 64<<20))
	return c, nc.Handshake()
}

// logged keeps the log of each instance.
func logged(log *recording) servertest.Option {
	return servertest.Config(func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
}

// A TLS handshake is part of the logon and has no more time, however it is drawn out. A stranger
// that draws it out keeps nobody out.
func TestHandshakeDeadline(t *testing.T) {
	for name, trickle := range map[string]bool{"silent": false, "trickling": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := servertest.NewCA(t)
				i := servertest.New(t, servertest.TLS(ca))
				began := time.Now()
				var slow []*raw
				for range 20 {
					c := dial(t, i)
					c.bytes("\x16\x03\x01\x02\x00")
					slow = append(slow, c)
				}
				if trickle {
					go func() {
						for range 100 {
							time.Sleep(50 * time.Millisecond)
							for _, c := range slow {
								_, _ = c.conn.Write([]byte{0})
							}
						}
					}()
				}
				good, err := dialTLS(t, i, ca.Client())
				if err != nil {
					t.Fatal(err)
				}
				good.logon("app")
				if took := time.Since(began); took > time.Second {
					t.Errorf("another client has logged on after %v", took)
				}
				for _, c := range slow {
					_ = c.conn.SetReadDeadline(time.Now().Add(time.Minute))
					if _, err := io.Copy(io.Discard, c.conn); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("the connection stays")
					}
				}
				if took := time.Since(began); took > 3*time.Second+100*time.Millisecond {
					t.Errorf("the connections were closed after %v", took)
				}
				time.Sleep(3 * time.Second)
			})
		})
	}
}

// A handshake and the logon after it have one deadline together.
func TestLogonDeadlineWithTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := servertest.NewCA(t)
		i := servertest.New(t, servertest.TLS(ca))
		began := time.Now()
		c := dial(t, i)
		time.Sleep(2 * time.Second)
		cfg := ca.Client()
		cfg.ServerName = "a"
		nc := tls.Client(c.conn, cfg)
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 3*time.Second+100*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
	})
}

// A client without TLS at a port with TLS gets a failure ack to its logon, and nothing that it sends
// is executed.
func TestPlainClientAtTLSPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(recording)
		i := servertest.New(t, servertest.TLS(servertest.NewCA(t)), logged(log))
		c := dial(t, i)
		c.bytes(frame(`{"c":"logon","cid":"7","client_name":"app","a":"processed"}`) + frame(`{"c":"p","t":"orders","a":"persisted"}x`))
		m := c.message()
		if string(m.CommandID) != "7" || string(m.Status) != "failure" || string(m.Reason) != wire.ReasonTLSRequired {
			t.Errorf("answered cid %s, %s, %q", m.CommandID, m.Status, m.Reason)
		}
		c.wantClosed()
		if got := i.Messages("orders"); len(got) != 0 {
			t.Errorf("the journal has %v", got)
		}
		if r := i.Server().Status().Refusing; len(r) != 1 || r[0] != wire.ReasonTLSRequired {
			t.Errorf("the status shows the refusals %q", r)
		}
		c = dial(t, i)
		c.send(`{"c":"p","t":"orders","a":"persisted"}`, "x")
		if m := c.message(); string(m.Reason) != wire.ReasonTLSRequired {
			t.Errorf("a publish is answered with %q", m.Reason)
		}
		c.wantClosed()
		c = dial(t, i)
		c.bytes("GET / HTTP/1.1\r\n\r\n")
		c.wantClosed()
		time.Sleep(2 * time.Second)
		if n := len(log.lines(wire.ReasonTLSRequired)); n != 2 { // two that send commands, and one that does not
			t.Errorf("%d lines of 3 clients from one address in\n%s", n, log.buf.String())
		}
	})
}

// The SDK shows the reason when it uses tcp:// at a port with TLS.
func TestPlainSDKAtTLSPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.TLS(servertest.NewCA(t)))
		cfg := i.Client("app")
		cfg.Servers = []string{"tcp://a:9007/amps/json"}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		c, err := client.Dial(ctx, cfg)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), wire.ReasonTLSRequired) {
			t.Errorf("got %v", err)
		}
	})
}

// A TLS client at a port without TLS gets an alert, and the log says why.
func TestTLSClientAtPlainPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(recording)
		i := servertest.New(t, logged(log))
		_, err := dialTLS(t, i, servertest.NewCA(t).Client())
		if err == nil || !strings.Contains(err.Error(), "remote error: tls: handshake failure") {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Second)
		if n := len(log.lines("a TLS client on a port without TLS: use tcp:// or configure clients.tls")); n != 1 {
			t.Errorf("%d lines of one client in\n%s", n, log.buf.String())
		}
	})
}

// A certificate of a client must be of the authority, and with client_cert: require there must be
// one.
func TestClientCertificates(t *testing.T) {
	ca, other := servertest.NewCA(t), servertest.NewCA(t)
	foreign := ca.Client()
	foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c := other.Certificate("app")
		return &c, nil
	}
	old := ca.Client("app")
	old.MaxVersion = tls.VersionTLS12
	for _, tt := range []struct {
		name       string
		clientCert string
		minVersion string
		client     *tls.Config
		ok         bool
	}{
		{"none given, none asked for", "none", "", ca.Client(), true},
		{"none given, optional", "optional", "", ca.Client(), true},
		{"none given, required", "require", "", ca.Client(), false},
		{"none given, default", "", "", ca.Client(), false},
		{"given, optional", "optional", "", ca.Client("app"), true},
		{"given, required", "require", "", ca.Client("app"), true},
		{"foreign, optional", "optional", "", foreign, false},
		{"foreign, required", "require", "", foreign, false},
		{"server not trusted", "none", "", other.Client(), false},
		{"old version", "require", "", old, false},
		{"old version allowed", "require", "1.2", old, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key, authority := ca.Files(dir, "a")
			synctest.Test(t, func(t *testing.T) {
				i := servertest.New(t, servertest.Config(func(c *server.Config) {
					c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key, ClientCA: authority, ClientCert: tt.clientCert, MinVersion: tt.minVersion}
					if tt.clientCert == "none" {
						c.Clients.TLS.ClientCA = ""
					}
				}))
				if ok := logsOn(t, i, tt.client); ok != tt.ok {
					t.Errorf("logged on: %v", ok)
				}
			})
		})
	}
}

// logsOn reports whether a client with this configuration can log on.
func logsOn(t *testing.T, i *servertest.Instance, cfg *tls.Config) bool {
	t.Helper()
	c, err := dialTLS(t, i, cfg)
	defer c.close()
	if err != nil {
		return false
	}
	_, _ = c.conn.Write([]byte(frame(`{"c":"logon","cid":"0","client_name":"app","a":"processed"}`)))
	text, err := c.read()
	return err == nil && strings.Contains(text, `"status":"success"`)
}

// A session over TLS ends as one without: the client gets everything, then the end of the TLS
// connection, which a network cannot forge.
func TestEndsWithTLS(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, i *servertest.Instance, c *raw){
		"shutdown": func(t *testing.T, i *servertest.Instance, _ *raw) {
			if err := i.Server().Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"close":             func(_ *testing.T, i *servertest.Instance, _ *raw) { i.Close() },
		"malformed command": func(_ *testing.T, _ *servertest.Instance, c *raw) { c.send("x") },
		"client closes its side": func(t *testing.T, _ *servertest.Instance, c *raw) {
			if err := c.conn.(*tls.Conn).CloseWrite(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := servertest.NewCA(t)
				i := servertest.New(t, servertest.TLS(ca))
				c, err := dialTLS(t, i, ca.Client())
				if err != nil {
					t.Fatal(err)
				}
				c.logon("app")
				c.publish("orders", 1, 3)
				c.awaitPersisted(3, "")
				began := time.Now()
				var ending sync.WaitGroup
				ending.Go(func() { end(t, i, c) })
				for err == nil {
					_, err = c.read()
				}
				if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("ended after %v", took)
				}
				ending.Wait()
			})
		})
	}
}

// A client that reads nothing cannot hold up the end of the instance, also with TLS.
func TestDeafTLSClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := servertest.NewCA(t)
		i := servertest.New(t, servertest.TLS(ca))
		c, err := dialTLS(t, i, ca.Client())
		if err != nil {
			t.Fatal(err)
		}
		c.logon("app")
		c.send(`{"c":"subscribe","cid":"1","sub_id":"1","t":"orders","bookmark":"0"}`)
		for s := range uint64(40) {
			c.send(`{"c":"p","t":"orders","s":`+string('0'+rune(s/10+1))+string('0'+rune(s%10))+`}`, strings.Repeat("x", 10<<10))
			time.Sleep(10 * time.Millisecond)
		}
		began := time.Now()
		i.Close()
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("the end took %v", took)
		}
	})
}

// An unreadable amount of certificates is not read.
func TestLongHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := servertest.NewCA(t)
		i := servertest.New(t, servertest.TLS(ca))
		for certificates, want := range map[int]bool{10: true, 400: false} {
			cfg := ca.Client("app")
			chain := &cfg.Certificates[0].Certificate
			for range certificates {
				*chain = append(*chain, (*chain)[0])
			}
			if ok := logsOn(t, i, cfg); ok != want {
				t.Errorf("with %d certificates of %d bytes: logged on %v", certificates, len((*chain)[0]), ok)
			}
		}
	})
}

// A peer is linked if its certificate is of the authority and has its name.
func TestLinksWithTLS(t *testing.T) {
	ca, other := servertest.NewCA(t), servertest.NewCA(t)
	links := func(names ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.Certificate(names...)}, RootCAs: ca.Pool(), ClientCAs: ca.Pool()}
	}
	foreign := &tls.Config{Certificates: []tls.Certificate{other.Certificate("b")}, RootCAs: ca.Pool(), ClientCAs: ca.Pool()}
	for _, tt := range []struct {
		name   string
		b      *tls.Config
		secret bool // both have the link secret
		dials  string
		linked bool
		log    string
	}{
		{"good, a dials", links("b"), true, "a", true, ""},
		{"good, b dials", links("b"), true, "b", true, ""},
		{"no secret", links("b"), false, "b", true, ""},
		{"several names", links("x", "b"), false, "a", true, ""},
		{"another name, a dials", links("x"), true, "a", false, "not b"},
		{"another name, b dials", links("x"), true, "b", false, "does not have that name"},
		{"wildcard, b dials", links("*", "*.b"), false, "b", false, "does not have that name"},
		{"wildcard for the dialler", links("*.b"), false, "a", false, "not b"},
		{"name of a", links("a"), true, "b", false, "does not have that name"},
		{"another CA, a dials", foreign, true, "a", false, "certificate signed by unknown authority"},
		{"another CA, b dials", foreign, true, "b", false, "certificate signed by unknown authority"},
		{"no TLS, a dials", nil, true, "a", false, "first record does not look like a TLS handshake"},
		{"no TLS, b dials", nil, true, "b", false, "the other side does not use TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := new(recording)
				pair := servertest.NewPair(t, servertest.Unstarted(), logged(log), servertest.Config(func(c *server.Config) {
					if c.Replication.TLSConfig = tt.b; c.Name == "a" {
						c.Replication.TLSConfig = links("a")
					}
					if c.Replication.Insecure = true; !tt.secret {
						c.Replication.SecretKey = nil
					}
					if c.Name != tt.dials {
						c.Replication.Destinations = []server.Destination{{Name: c.Replication.Destinations[0].Name}}
					}
				}))
				pair.A.Restart()
				pair.B.Restart()
				time.Sleep(20 * time.Second)
				l := pair.A.Server().Status().Links[0]
				if linked := l.State == "sync"; linked != tt.linked {
					t.Errorf("linked: %v: %+v", linked, l)
				}
				if tt.log != "" && len(log.lines(tt.log)) == 0 {
					t.Errorf("no %q in\n%s", tt.log, log.buf.String())
				}
			})
		})
	}
}

// A stranger at the replication port that does not end its TLS handshake is closed as others are.
func TestSlowLinkHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.TLS(servertest.NewCA(t)))
		nc, err := testdoor.Part[*memnet.Network](pair).Host("stranger").Dial(t.Context(), "a:9107")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		began := time.Now()
		go func() {
			for range 100 {
				_, _ = nc.Write([]byte{0x16})
				time.Sleep(50 * time.Millisecond)
			}
		}()
		_, _ = io.Copy(io.Discard, nc)
		if took := time.Since(began); took > 2100*time.Millisecond {
			t.Errorf("closed after %v", took)
		}
		time.Sleep(5 * time.Second)
	})
}
