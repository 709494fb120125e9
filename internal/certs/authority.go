package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An Authority is a certificate authority in memory, for tests and benchmarks. It is safe for
// concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authorityBegin is the time from which all certificates of an Authority are valid. It is before the
// time at which a bubble of testing/synctest begins.
var authorityBegin = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

// NewAuthority makes an authority with a new key, which is valid until notAfter.
func NewAuthority(notAfter time.Time) (*Authority, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "holdfast"}, NotBefore: authorityBegin, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{cert, key}, err
}

// sign makes a certificate from a template. parent and by are the certificate and the key of the
// authority.
func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (der []byte, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
}

// Certificate returns a new certificate with these DNS names or IP addresses, and its private key. It
// is valid for servers and clients until notAfter. The first name is also its common name.
func (a *Authority) Certificate(notAfter time.Time, names ...string) (tls.Certificate, error) {
	template := &x509.Certificate{
		NotBefore: authorityBegin, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := sign(template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// Pool returns the certificate of the authority, for the RootCAs or ClientCAs of a tls.Config.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Files writes a certificate, its private key and the certificate of the authority to cert.pem,
// key.pem and ca.pem in dir. It replaces the files of an earlier call: a reader sees the old content
// of a file or the new one.
func (a *Authority) Files(dir string, pair tls.Certificate) error {
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		path := filepath.Join(dir, name)
		err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		if err != nil {
			return err
		}
		return os.Rename(path+".new", path)
	}
	return errors.Join(
		write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", private), write("ca.pem", "CERTIFICATE", a.cert.Raw))
}
