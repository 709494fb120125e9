package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/client"
)

// access is how an application reaches the pair. An application that is started takes the present
// one, and the files in its directory.
type access struct {
	schemes   []string // of the URIs, in the order of the list of servers
	passwords bool     // those with a password file use it
}

// The files of an application, in its directory.
const (
	rootsFile    = "ca.pem"
	passwordFile = "password"
	certFile     = "cert.pem"
	keyFile      = "key.pem"
)

// An app is an application with a client of its own.
type app struct {
	name, user string
	byCert     bool // the user is that of a client certificate, and has no password
	dir        string
	servers    []string // host:port, the preferred one first
	hooks      client.Hooks

	logons   atomic.Int64
	lastLoss atomic.Pointer[error] // why the last attempt or connection ended

	mu    sync.Mutex
	conns []net.Conn // guarded by mu; those made since the last cut
}

// newApp makes the directory of an application.
func newApp(dir, name, user string, servers []string) (*app, error) {
	a := &app{name: name, user: user, dir: filepath.Join(dir, "apps", name), servers: servers}
	a.hooks = client.Hooks{
		Connected:    func(client.ServerInfo) { a.logons.Add(1) },
		Disconnected: func(_ string, err error) { a.lastLoss.Store(&err) },
	}
	return a, os.MkdirAll(a.dir, 0o755)
}

func (a *app) file(name string) string { return filepath.Join(a.dir, name) }

// config returns the configuration of the application's client. It has no stores.
func (a *app) config(x access) (cfg client.Config, err error) {
	cfg = client.Config{Name: a.name, Hooks: a.hooks, Dial: a.dial}
	tlsOnly := true
	for _, scheme := range x.schemes {
		tlsOnly = tlsOnly && scheme == "tcps"
		for _, server := range a.servers {
			cfg.Servers = append(cfg.Servers, scheme+"://"+server+"/amps/json")
		}
	}
	cfg.RequireTLS = tlsOnly
	if x.passwords && !a.byCert {
		cfg.Authenticator = client.SCRAMFile(a.user, a.file(passwordFile))
	}
	cfg.TLS, err = a.tlsConfig()
	return cfg, err
}

// tlsConfig returns nil if the application has no authorities yet. The certificate is read at each
// connection, the authorities once.
func (a *app) tlsConfig() (*tls.Config, error) {
	text, err := os.ReadFile(a.file(rootsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(text)
	if a.byCert {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(a.file(certFile), a.file(keyFile))
			return &cert, err
		}
	}
	return cfg, nil
}

// dial makes a connection that cut can end.
func (a *app) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		a.mu.Lock()
		a.conns = append(a.conns, nc)
		a.mu.Unlock()
	}
	return nc, err
}

// cut ends the connections, as a network may at any time.
func (a *app) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastLoss.Store(nil)
	for _, nc := range a.conns {
		nc.Close()
	}
	a.conns = nil
}

// explain adds to an error why the application is not connected.
func (a *app) explain(err error) error {
	if last := a.lastLoss.Load(); err != nil && last != nil {
		return fmt.Errorf("%s: %w; its last connection: %w", a.name, err, *last)
	}
	return err
}

// refused reports whether the last attempt ended because the user, the password or the certificate was
// not accepted.
func (a *app) refused() bool {
	last := a.lastLoss.Load()
	return last != nil && errors.Is(*last, client.ErrNotAuthenticated)
}
