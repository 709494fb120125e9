package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A PortTLS describes the TLS of a port. The files are in PEM form. They are read again when they
// change; if the new ones cannot be used, the old ones stay. Paths in a config file are relative to
// its directory.
type PortTLS struct {
	// Cert is the file of the certificate, then any intermediate ones.
	Cert string `yaml:"cert"`
	// Key is the file of its private key. Its owner may write it and its group may read it; other
	// users must not have access.
	Key string `yaml:"key"`
	// ClientCA is the file of the authorities that sign certificates of clients.
	ClientCA string `yaml:"client_ca"`
	// ClientCert is "none" (clients present no certificate), "optional" (a client may present one,
	// which must be valid) or "require". Default: "require" with ClientCA, otherwise "none".
	ClientCert string `yaml:"client_cert"`
	// MinVersion is the lowest TLS version, "1.2" or "1.3". Default "1.3".
	MinVersion string `yaml:"min_version"`
}

// A LinkTLS describes the TLS of the links of an instance, in both directions. The files are as
// those of PortTLS.
type LinkTLS struct {
	// Cert is the file of this instance's certificate, for servers and for clients. Its DNS names
	// must contain the name of the instance.
	Cert string `yaml:"cert"`
	// Key is the file of its private key.
	Key string `yaml:"key"`
	// CA is the file of the authorities that sign the certificates of the peers. The certificate of
	// a peer must have the DNS name by which destinations or peers name it.
	CA string `yaml:"ca"`
}

// The values of PortTLS.ClientCert.
const (
	certNone     = "none"
	certOptional = "optional"
	certRequire  = "require"
)

// clientCert returns ClientCert with its default.
func (t *PortTLS) clientCert() string {
	if t.ClientCert == "" && t.ClientCA != "" {
		return certRequire
	}
	return cmp.Or(t.ClientCert, certNone)
}

// requiresCert reports whether every client must present a certificate of the authorities.
func (t *PortTLS) requiresCert() bool { return t != nil && t.clientCert() == certRequire }

// load reads the files and returns the configuration of the port.
func (t *PortTLS) load() (*certs.Source, *tls.Config, error) {
	source, err := certs.Load(certs.Files{Cert: t.Cert, Key: t.Key, CA: t.ClientCA})
	if err != nil {
		return nil, nil, err
	}
	auth := map[string]tls.ClientAuthType{
		certNone: tls.NoClientCert, certOptional: tls.VerifyClientCertIfGiven, certRequire: tls.RequireAndVerifyClientCert,
	}[t.clientCert()]
	minVersion := uint16(tls.VersionTLS13)
	if t.MinVersion == "1.2" {
		minVersion = tls.VersionTLS12
	}
	return source, source.Server(auth, minVersion), nil
}

// portTLS checks the TLS of a port. inCode reports whether it has a tls.Config, too.
func (k *configChecker) portTLS(field string, t *PortTLS, inCode bool) {
	if t == nil {
		return
	}
	k.keyPair(field, t.Cert, t.Key, inCode)
	switch t.ClientCert {
	case "", certNone, certOptional, certRequire:
	default:
		k.addProblem(field+".client_cert", "is %q: it must be none, optional or require", t.ClientCert)
	}
	switch cert := t.clientCert(); {
	case cert == certNone && t.ClientCA != "":
		k.addProblem(field+".client_ca", "is not used with client_cert: none: remove one of the two")
	case (cert == certOptional || cert == certRequire) && t.ClientCA == "":
		k.addProblem(field+".client_ca", "is missing: give the file of the authorities that sign certificates of clients, or client_cert: none")
	}
	if v := t.MinVersion; v != "" && v != "1.2" && v != "1.3" {
		k.addProblem(field+".min_version", "is %q: it must be \"1.2\" or \"1.3\"", v)
	}
}

// linkTLS checks the TLS of the links.
func (k *configChecker) linkTLS(r *Replication) {
	t := r.TLS
	if t == nil {
		return
	}
	k.keyPair("replication.tls", t.Cert, t.Key, r.TLSConfig != nil)
	if t.CA == "" {
		k.addProblem("replication.tls.ca", "is missing: give the file of the authorities that sign the certificates of the peers")
	}
}

// keyPair checks that both files of a certificate are given, in one place only.
func (k *configChecker) keyPair(field, cert, key string, inCode bool) {
	if inCode {
		k.addProblem(field, "is given together with a TLSConfig: remove one of the two")
	}
	if cert == "" {
		k.addProblem(field+".cert", "is missing: give the file of the certificate")
	}
	if key == "" {
		k.addProblem(field+".key", "is missing: give the file of the private key")
	}
}

// users checks that the users come from one place.
func (k *configChecker) users(c *Config) {
	switch {
	case c.Clients.Users != "" && (c.Authenticator != nil || c.Authorizer != nil):
		k.addProblem("clients.users", "is given together with an Authenticator or Authorizer: remove one of the two")
	case c.Authorizer != nil && c.Authenticator == nil:
		k.addProblem("authorizer", "is given without an Authenticator, so that no client has a user")
	}
}

// clientAccess checks that only programs of this machine can reach a client port whose clients do
// not prove their identity. authenticates reports whether they do.
func (k *configChecker) clientAccess(c *ClientPort, authenticates bool) {
	if authenticates || failpoint.On(failpoint.OpenByDefault) || c.Insecure || c.TLS.requiresCert() || requiresCert(c.TLSConfig) || c.Listen == "" || isLoopback(c.Listen) {
		return
	}
	k.addProblem("clients.listen", "is %s, which is not a loopback address, and clients need not prove who they are: anybody who can reach it could publish and subscribe. "+
		"Name a file of users (holdfastd user makes it), listen at a loopback address, require certificates of clients (tls with client_ca), or set insecure: true", c.Listen)
}

// adminAccess checks the same for the admin port.
func (k *configChecker) adminAccess(c *AdminPort) {
	if c.Token != "" || c.BearerToken != "" || failpoint.On(failpoint.AdminOpenByDefault) || c.Insecure || c.TLS.requiresCert() || requiresCert(c.TLSConfig) || c.Listen == "" || isLoopback(c.Listen) {
		return
	}
	k.addProblem("admin.token", "is missing, and %s is not a loopback address: anybody who can reach it could read the status. "+
		"Name the file of a token, require certificates of clients (tls with client_ca), or set insecure: true", c.Listen)
}

// requiresCert reports whether a configuration requires certificates of clients that are verified.
func requiresCert(c *tls.Config) bool {
	return c != nil && c.ClientAuth == tls.RequireAndVerifyClientCert
}

// certError converts an error of package certs to one of a field.
func certError(field string, err error) error {
	if file, ok := errors.AsType[*certs.FileError](err); ok {
		kind := file.Kind
		if kind == "ca" && field != "replication.tls" {
			kind = "client_ca"
		}
		return &ConfigError{Field: field + "." + kind, Text: file.Err.Error()}
	}
	return fmt.Errorf("%s: %w", field, err)
}
