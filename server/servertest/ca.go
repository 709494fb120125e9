package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A CA is a certificate authority in memory, for tests with TLS. Its certificates are valid in a
// bubble as well, where time begins in 2000. It is safe for concurrent use while its fields do not
// change.
type CA struct {
	// NotAfter is the time until which new certificates are valid. NewCA sets it to 2100.
	NotAfter time.Time

	t    T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// notBefore is the time from which all certificates are valid.
var notBefore = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

// NewCA makes a certificate authority with a new key.
func NewCA(t T) *CA {
	t.Helper()
	ca := &CA{t: t, NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	ca.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "servertest"}, NotBefore: notBefore, NotAfter: ca.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	if err == nil {
		ca.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatalf("servertest: make a CA: %v", err)
	}
	return ca
}

func newKey(t T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("servertest: make a key: %v", err)
	}
	return key
}

func serial(t T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("servertest: make a serial number: %v", err)
	}
	return n
}

// Certificate returns a new certificate of the CA with these DNS names or IP addresses, and its
// private key. It is valid for servers and clients. The first name is also its common name.
func (ca *CA) Certificate(names ...string) tls.Certificate {
	ca.t.Helper()
	key := newKey(ca.t)
	template := &x509.Certificate{
		SerialNumber: serial(ca.t), NotBefore: notBefore, NotAfter: ca.NotAfter,
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
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		ca.t.Fatalf("servertest: make a certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Pool returns the certificate of the CA, for the RootCAs or ClientCAs of a tls.Config.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

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
	pair := ca.Certificate(names...)
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		ca.t.Fatalf("servertest: write a key: %v", err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		// A new file each time: a reader sees the old content or the new one.
		err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			ca.t.Fatalf("servertest: write a certificate: %v", err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", pair.Certificate[0]), write("key.pem", "PRIVATE KEY", private), write("ca.pem", "CERTIFICATE", ca.cert.Raw)
}
