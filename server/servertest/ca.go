package servertest

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/internal/certs"
)

// A CA is a certificate authority in memory, for tests with TLS. Its certificates are valid in a
// bubble as well, where time begins in 2000. It is safe for concurrent use while its fields do not
// change.
type CA struct {
	// NotAfter is the time until which new certificates are valid. NewCA sets it to 2100.
	NotAfter time.Time

	t         T
	authority *certs.Authority
}

// NewCA makes a certificate authority with a new key.
func NewCA(t T) *CA {
	t.Helper()
	ca := &CA{t: t, NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	var err error
	if ca.authority, err = certs.NewAuthority(ca.NotAfter); err != nil {
		t.Fatalf("servertest: make a CA: %v", err)
	}
	return ca
}

// Certificate returns a new certificate of the CA with these DNS names or IP addresses, and its
// private key. It is valid for servers and clients. The first name is also its common name.
func (ca *CA) Certificate(names ...string) tls.Certificate {
	ca.t.Helper()
	pair, err := ca.authority.Certificate(ca.NotAfter, names...)
	if err != nil {
		ca.t.Fatalf("servertest: make a certificate: %v", err)
	}
	return pair
}

// Pool returns the certificate of the CA, for the RootCAs or ClientCAs of a tls.Config.
func (ca *CA) Pool() *x509.CertPool { return ca.authority.Pool() }

// Client returns a configuration for a client that trusts the CA. With names the client presents a
// new certificate with these names. The client sets the name of the server by itself.
func (ca *CA) Client(names ...string) *tls.Config {
	ca.t.Helper()
	cfg := &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}
	if len(names) > 0 {
		cfg.Certificates = []tls.Certificate{ca.Certificate(names...)}
	}
	return cfg
}

// Files writes a new certificate with these names, its private key, and the certificate of the CA
// to dir, in PEM form. It replaces the files of an earlier call. It returns their paths.
func (ca *CA) Files(dir string, names ...string) (cert, key, authority string) {
	ca.t.Helper()
	if err := ca.authority.Files(dir, ca.Certificate(names...)); err != nil {
		ca.t.Fatalf("servertest: write a certificate: %v", err)
	}
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
}
