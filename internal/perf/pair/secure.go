package pair

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// A Security has the credentials for a pair with TLS on clients and links, and with one user that may
// publish and subscribe to everything.
type Security struct {
	User, Password string

	authority *certs.Authority
	until     time.Time
}

// NewSecurity makes new credentials, which are valid for a month.
func NewSecurity() (*Security, error) {
	s := &Security{User: "bench", Password: rand.Text(), until: time.Now().Add(30 * 24 * time.Hour)}
	var err error
	s.authority, err = certs.NewAuthority(s.until)
	return s, err
}

// Configure sets the credentials of a client.
func (s *Security) Configure(cfg *client.Config) {
	cfg.TLS = &tls.Config{RootCAs: s.authority.Pool(), MinVersion: tls.VersionTLS13}
	cfg.Authenticator, cfg.RequireTLS = client.SCRAM(s.User, s.Password), true
}

// write writes the files of an instance to its directory.
func (s *Security) write(in *Instance) error {
	host, _, err := net.SplitHostPort(in.ClientAddress)
	if err != nil {
		return err
	}
	certificate, err := s.authority.Certificate(s.until, in.Name, host)
	if err == nil {
		err = s.authority.Files(in.dir, certificate)
	}
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	return users.Add(filepath.Join(in.dir, "users.yaml"), users.NewUser{
		Name: s.User, Password: users.Password{Text: s.Password}, Publish: []string{".*"}, Subscribe: []string{".*"},
	})
}

// The lines of the configuration of a pair with a Security.
var (
	secureClients = []string{"tls: {cert: cert.pem, key: key.pem}", "users: users.yaml"}
	secureLinks   = []string{"tls: {cert: cert.pem, key: key.pem, ca: ca.pem}"}
)
