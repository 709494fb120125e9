// Package certs keeps certificates that are read from files, and makes TLS configurations that use
// the present ones. A connection keeps the certificates of its handshake.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/reload"
)

const (
	maxFile = 1 << 20 // of a file, bytes
	// keyModes are the mode bits that the file of a private key must not have. Its group may read
	// it, since keys are often given to a service by its group.
	keyModes = 0o027
)

// Files are the files of a side of TLS connections, in PEM form.
type Files struct {
	Cert string // the certificate, then any intermediate ones
	Key  string // its private key; other users must not have access
	CA   string // certificates of the authorities that sign the certificates of the other side; empty: none
}

// A FileError is the problem of one file.
type FileError struct {
	Kind string // cert, key or ca
	Err  error
}

func (e *FileError) Error() string { return e.Kind + " " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// A Source has the certificates of Files. It is safe for concurrent use.
type Source struct{ *reload.Value[*material] }

// material is the content of the files.
type material struct {
	certificate *tls.Certificate
	authorities *x509.CertPool // nil: Files.CA is empty
	notAfter    time.Time
	changed     Change // from the material before
}

// A Change tells which of the files have other content than before.
type Change struct{ Certificate, Authorities bool }

// changeFrom returns what is new in m.
func (m *material) changeFrom(old *material) Change {
	return Change{
		Certificate: !slices.EqualFunc(m.certificate.Certificate, old.certificate.Certificate, bytes.Equal),
		Authorities: m.authorities != nil && old.authorities != nil && !m.authorities.Equal(old.authorities),
	}
}

// Load reads the files. The error is a *FileError. Reload and Poll of the Source read them again.
func Load(f Files) (*Source, error) {
	paths := slices.DeleteFunc([]string{f.Cert, f.Key, f.CA}, func(p string) bool { return p == "" })
	s := new(Source)
	v, err := reload.New(func() (*material, error) {
		m, err := f.read()
		if err == nil && s.Value != nil {
			m.changed = m.changeFrom(s.Get())
		}
		return m, err
	}, paths...)
	if err != nil {
		return nil, err
	}
	s.Value = v
	return s, nil
}

// LastChange returns what the last Reload or Poll without an error has replaced.
func (s *Source) LastChange() Change { return s.Get().changed }

// read reads and checks the files.
func (f Files) read() (*material, error) {
	cert, err := reload.ReadFile(f.Cert, maxFile, 0)
	if err != nil {
		return nil, &FileError{"cert", cannotRead(err)}
	}
	key, err := reload.ReadFile(f.Key, maxFile, keyModes)
	if err != nil {
		return nil, &FileError{"key", cannotRead(err)}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &FileError{"cert", fmt.Errorf("%s and the key in %s cannot be used together: %w", f.Cert, f.Key, err)}
	}
	m := &material{certificate: &pair}
	if m.notAfter, err = expiry(pair.Certificate); err != nil {
		return nil, &FileError{"cert", fmt.Errorf("%s cannot be used: %w", f.Cert, err)}
	}
	if f.CA != "" {
		m.authorities, err = readAuthorities(f.CA)
	}
	return m, err
}

func cannotRead(err error) error { return fmt.Errorf("cannot be read: %w", err) }

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := reload.ReadFile(path, maxFile, 0)
	if err != nil {
		return nil, &FileError{"ca", cannotRead(err)}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &FileError{"ca", fmt.Errorf("%s has no certificate in PEM form", path)}
	}
	return pool, nil
}

// expiry returns when the first certificate of a chain expires.
func expiry(chain [][]byte) (first time.Time, err error) {
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return first, err
		}
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first, nil
}

// NotAfter returns when the certificate, or an intermediate one in its file, expires.
func (s *Source) NotAfter() time.Time { return s.Get().notAfter }

// Server returns the configuration of a side that accepts connections. minVersion is the lowest TLS
// version. Connections are not resumed, so that each handshake checks the certificate of the client
// against the present authorities.
func (s *Source) Server(auth tls.ClientAuthType, minVersion uint16) *tls.Config {
	first := s.Get()
	return &tls.Config{
		MinVersion: minVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := s.Get()
			if failpoint.On(failpoint.TLSCertificateKept) {
				m = first
			}
			return &tls.Config{
				MinVersion: minVersion, SessionTicketsDisabled: true,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return m.certificate, nil },
				ClientAuth:     auth, ClientCAs: m.authorities,
			}, nil
		},
	}
}

// Client returns the configuration of a side that dials. The certificate of the other side must
// have the name, and an authority of Files.CA must have signed it. The configuration is for one
// connection: a later one takes the certificates of its time.
func (s *Source) Client(name string) *tls.Config {
	m := s.Get()
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: name, RootCAs: m.authorities,
		// It is presented whatever authorities the other side names. So the other side says why it
		// refuses the certificate, and not that there is none.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.certificate, nil },
	}
}

// CheckName returns an error unless the other side has presented a certificate that was verified
// and that has exactly this DNS name: a wildcard would stand for several instances.
func CheckName(state tls.ConnectionState, name string) error {
	if len(state.VerifiedChains) == 0 {
		return errors.New("the peer has presented no certificate that was verified")
	}
	if names := state.PeerCertificates[0].DNSNames; !slices.Contains(names, name) {
		return fmt.Errorf("the certificate of %q does not have that name: its DNS names are %.200q", name, names)
	}
	return nil
}
