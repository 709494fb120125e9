package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/users"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The users of a secured pair. A password is the name of its user and passwordSuffix.
const (
	wellBehavedUser = "fine"
	gatewayUser     = "gateway"
	readerUser      = "reader"
	hashedUser      = "hashed" // has an argon2id hash, whose computation costs most
	guestUser       = "guest"  // may log on, and nothing else
	noisyUser       = "noisy"  // may do all but two things: its limits bound it
)

const passwordSuffix = " correct horse"

// The topics of a secured pair, besides those that noisyUser publishes to.
const quotes = "quotes" // of the gateways, for the reader

// The limits of the attackers' users.
const (
	attackerConnections = 8
	attackerPublishers  = 40
	noisyBytesPerSecond = 1 << 20
	maxTombstones       = 150 // of a user per second: 100, and those that come at once
)

// A securedUser is a user in the file, with the limits as the file has them.
type securedUser struct {
	users.NewUser
	limits string
}

func securedUsers() []securedUser {
	user := func(name string, publish, subscribe []string, limits string) securedUser {
		return securedUser{users.NewUser{
			Name: name, Password: users.Password{Text: name + passwordSuffix, Argon2id: name == hashedUser},
			ClientNames: []string{"^" + name + "-"}, Publish: publish, Subscribe: subscribe,
		}, limits}
	}
	attackerLimits := fmt.Sprintf("connections: %d, publishers: %d", attackerConnections, attackerPublishers)
	return []securedUser{
		user(wellBehavedUser, []string{topic, "warm"}, []string{topic}, ""),
		user(gatewayUser, []string{quotes}, nil, ""),
		user(readerUser, nil, []string{quotes}, ""),
		user(hashedUser, nil, nil, ""),
		user(guestUser, nil, nil, attackerLimits),
		user(noisyUser, []string{"^" + greedyTopic, `^\d+a+$`}, []string{".*"}, fmt.Sprintf("%s, bytes_per_second: %d", attackerLimits, noisyBytesPerSecond)),
	}
}

// The lines of the configuration that secure an instance, and the names of the files below its
// directory.
var (
	securedClients     = []string{"tls: {cert: cert.pem, key: key.pem}", "users: users.yaml"}
	securedReplication = []string{"tls: {cert: cert.pem, key: key.pem, ca: ca.pem}"}
)

// secureFiles writes the certificates and the users of a pair below dir, and returns the file with
// the certificate of their authority.
func secureFiles(dir string) (authority string, err error) {
	defer func() {
		if failed, is := recover().(setupError); is {
			err = failed
		}
	}()
	ca, file := servertest.NewCA(setup{}), filepath.Join(dir, "users.yaml")
	for _, u := range securedUsers() {
		if err := u.addTo(file); err != nil {
			return "", err
		}
	}
	text, err := os.ReadFile(file)
	for _, name := range []string{"a", "b"} {
		of := filepath.Join(dir, name)
		if err = errors.Join(err, os.MkdirAll(of, 0o755), os.WriteFile(filepath.Join(of, "users.yaml"), text, 0o600)); err != nil {
			return "", err
		}
		_, _, authority = ca.Files(of, name, "127.0.0.1")
	}
	return authority, nil
}

// addTo adds a user at the end of a file.
func (u securedUser) addTo(file string) error {
	if err := users.Add(file, u.NewUser); err != nil || u.limits == "" {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "    limits: {%s}\n", u.limits)
	return errors.Join(err, f.Close())
}

// setup is the servertest.T of secureFiles, which recovers from its panic.
type setup struct{}

type setupError struct{ error }

func (setup) Helper()                           {}
func (setup) Logf(string, ...any)               {}
func (setup) Cleanup(func())                    {}
func (setup) TempDir() string                   { return "" } // not used for certificates
func (setup) Fatalf(format string, args ...any) { panic(setupError{fmt.Errorf(format, args...)}) }

// strangeCertificate returns a certificate of an instance that an unknown authority has signed.
func strangeCertificate() tls.Certificate { return servertest.NewCA(setup{}).Certificate("b") }

// trusting returns the configuration of a client that trusts the authority in a file.
func trusting(authority string) (*tls.Config, error) {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", authority)
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13}, nil
}

// securedConfig returns the configuration of a well-behaved client of a user.
func securedConfig(user, name string, trust *tls.Config, servers ...string) client.Config {
	return client.Config{
		Name: user + "-" + name, Servers: servers, TLS: trust, RequireTLS: true, Authenticator: client.SCRAM(user, user+passwordSuffix),
	}
}

// dial connects to the client port, with TLS if the pair is secured; from nil: from any address.
func (t target) dial(from net.IP) (*raw, error) {
	conn, err := dialFrom(from, t.clients)
	if err != nil {
		return nil, err
	}
	if t.trust == nil {
		return newRaw(conn), nil
	}
	secure := tls.Client(conn, t.trust)
	if err := secure.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return newRaw(secure), nil
}

// logOn logs on as a user with SCRAM. Without a user it just logs on.
func (c *raw) logOn(l *wire.LogonCommand, user string) (*wire.Message, error) {
	if user == "" {
		if err := c.send(l); err != nil {
			return nil, err
		}
		return c.await(wire.AckProcessed)
	}
	var binding []byte
	if secure, is := c.Conn.(*tls.Conn); is {
		state := secure.ConnectionState()
		binding = scram.Binding(&state)
	}
	conversation := scram.NewClient(user, user+passwordSuffix, binding)
	l.Password = conversation.Initial()
	steps := []func(text string) (string, error){
		conversation.Final,
		func(text string) (string, error) { return "", conversation.Verify(text) },
	}
	for {
		if err := c.send(l); err != nil {
			return nil, err
		}
		m, err := c.await(wire.AckProcessed)
		if err != nil || string(m.Status) != wire.StatusRetry || len(steps) == 0 {
			return m, err
		}
		if l.Password, err = steps[0](string(m.Password)); err != nil {
			return nil, err
		}
		steps = steps[1:]
	}
}
