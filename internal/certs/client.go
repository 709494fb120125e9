package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

// maxClientFile is the longest file of a client that is read, in bytes. A bundle of all public
// authorities has a few hundred KiB.
const maxClientFile = 16 << 20

// LoadClient returns the configuration of a client that connects to servers of any name, or nil if f
// names no file. Without a CA it trusts the authorities of the system; without a Cert it presents no
// certificate. The CA is read once, Cert and Key also at each connection. The files may be pipes. The
// error is a *FileError.
func LoadClient(f Files) (*tls.Config, error) {
	if f == (Files{}) {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		var err error
		if cfg.RootCAs, err = ReadAuthorities(f.CA); err != nil {
			return nil, &FileError{"ca", err}
		}
	}
	if f.Cert == "" {
		return cfg, nil
	}
	if _, err := f.readPair(); err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.readPair() }
	return cfg, nil
}

// ReadAuthorities reads the certificates of authorities from a PEM file.
func ReadAuthorities(path string) (*x509.CertPool, error) {
	text, err := readClientFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it: it must be a PEM file", path)
	}
	return pool, nil
}

// readPair reads the certificate of a client and its key.
func (f Files) readPair() (*tls.Certificate, error) {
	cert, err := readClientFile(f.Cert)
	if err != nil {
		return nil, &FileError{"cert", err}
	}
	key, err := readClientFile(f.Key)
	if err != nil {
		return nil, &FileError{"key", err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &FileError{"cert", fmt.Errorf("%s and the key in %s cannot be used together: %w", f.Cert, f.Key, err)}
	}
	return &pair, nil
}

func readClientFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxClientFile+1))
	if len(text) > maxClientFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxClientFile)
	}
	return text, err
}
