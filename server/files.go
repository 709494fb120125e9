package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/reload"
	"github.com/holdfast-mq/holdfast/internal/replica"
)

const (
	filesPoll  = 400 * time.Millisecond // between two checks whether a file has changed
	expiryPoll = 24 * time.Hour
	expiryWarn = 14 // days left below which the log warns
)

// files are the certificates and secrets of an instance. Those that come from files are replaced
// when the files change. Each field is nil if the instance does not use it.
type files struct {
	clientTLS *tls.Config
	adminTLS  *tls.Config
	links     *certs.Source
	secrets   func() [][]byte
	token     func() tokenSum
	config    func() Config // the configuration file as it was read last

	watched []watchedFiles
}

// watchedFiles are files that are read again when they change.
type watchedFiles struct {
	field string // of the config
	reloader
	certificate *certs.Source // nil: no certificate
	changed     func(*Server) // called after they were read again; nil: nothing to do
}

// A reloader reads its files again, see reload.Value.
type reloader interface {
	Reload() error
	Poll() (tried bool, err error)
}

// openFiles reads the files that the config names.
func openFiles(c *Config) (f files, err error) {
	f.clientTLS, f.adminTLS = c.Clients.TLSConfig, c.Admin.TLSConfig
	if err := f.openPort("clients.tls", c.Clients.TLS, &f.clientTLS); err != nil {
		return f, err
	}
	if err := f.openPort("admin.tls", c.Admin.TLS, &f.adminTLS); err != nil {
		return f, err
	}
	if err := f.openToken(&c.Admin); err != nil {
		return f, err
	}
	if err := f.openUsers(c); err != nil {
		return f, err
	}
	if err := f.openLogging(c); err != nil {
		return f, err
	}
	return f, f.openLinks(c.Replication)
}

// openPort reads the certificate of a port.
func (f *files) openPort(field string, t *PortTLS, config **tls.Config) error {
	if t == nil {
		return nil
	}
	source, portConfig, err := t.load()
	if err != nil {
		return certError(field, err)
	}
	*config = portConfig
	f.watched = append(f.watched, watchedFiles{field: field, reloader: source, certificate: source})
	return nil
}

// openLinks reads the certificate and the secret of the links.
func (f *files) openLinks(r *Replication) error {
	if r == nil {
		return nil
	}
	if t := r.TLS; t != nil {
		source, err := certs.Load(certs.Files{Cert: t.Cert, Key: t.Key, CA: t.CA})
		if err != nil {
			return certError("replication.tls", err)
		}
		f.links = source
		f.watched = append(f.watched, watchedFiles{field: "replication.tls", reloader: source, certificate: source})
	}
	switch {
	case len(r.SecretKey) > 0:
		f.secrets = replica.FixedSecret(r.SecretKey)
	case r.Secret != "":
		v, err := reload.New(func() ([][]byte, error) { return readSecrets(r.Secret) }, r.Secret)
		if err != nil {
			return &ConfigError{Field: "replication.secret", Text: err.Error()}
		}
		f.secrets = v.Get
		f.watched = append(f.watched, watchedFiles{field: "replication.secret", reloader: v})
	}
	return nil
}

// A tokenSum is the hash of a token. The comparison of hashes takes the same time for all tokens.
type tokenSum [sha256.Size]byte

const (
	minToken = 16   // bytes; with fewer a token could be guessed
	maxToken = 1024 // bytes of the file
)

// openToken reads the token of the admin port.
func (f *files) openToken(p *AdminPort) error {
	switch {
	case p.BearerToken != "":
		sum := tokenSum(sha256.Sum256([]byte(p.BearerToken)))
		f.token = func() tokenSum { return sum }
	case p.Token != "":
		v, err := reload.New(func() (tokenSum, error) { return readToken(p.Token) }, p.Token)
		if err != nil {
			return &ConfigError{Field: "admin.token", Text: err.Error()}
		}
		f.token = v.Get
		f.watched = append(f.watched, watchedFiles{field: "admin.token", reloader: v})
	}
	return nil
}

// matches reports whether a request has presented the token.
func (t tokenSum) matches(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(t[:], sum[:]) == 1 || failpoint.On(failpoint.AdminAnyToken)
}

// Reload reads the files of certificates, secrets and users again, and the part logging of the
// configuration file, as the instance does by itself within a second after they have changed. The
// error names the files that cannot be used; their old content stays in use. Connections that exist
// keep the certificates with which they began.
func (s *Server) Reload() error {
	var all []error
	for _, w := range s.files.watched {
		err := w.Reload()
		s.logReload(&w, err)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", w.field, err))
		}
	}
	return errors.Join(all...)
}

// watchFiles reads files again when they change, and watches the permissions of the peers, until the
// instance stops.
func (s *Server) watchFiles() {
	s.warnExpiry()
	changes, expiry := time.NewTicker(filesPoll), time.NewTicker(expiryPoll)
	defer changes.Stop()
	defer expiry.Stop()
	var differ []string
	for {
		select {
		case <-changes.C:
			s.pollFiles()
			differ = s.checkPermissions(differ)
		case <-expiry.C:
			s.warnExpiry()
		case <-s.ctx.Done():
			return
		}
	}
}

// checkPermissions logs that a peer has other permissions of users, once when it begins and once
// when it ends. told are the peers of the last call.
func (s *Server) checkPermissions(told []string) (differ []string) {
	l := s.links.Load()
	if l == nil {
		return nil
	}
	differ = l.PermissionsDiffer()
	switch {
	case slices.Equal(differ, told):
	case len(differ) > 0:
		s.log.Error("peers have had other permissions of users for a minute: give all instances the same file of users",
			"peers", differ, "permissions", s.cfg.Authorizer.Version().Number)
	default:
		s.log.Info("all peers have the same permissions of users again")
	}
	return differ
}

// pollFiles reads the files again that have changed.
func (s *Server) pollFiles() {
	for _, w := range s.files.watched {
		if tried, err := w.Poll(); tried {
			s.logReload(&w, err)
		}
	}
}

// warnExpiry logs certificates that expire soon.
func (s *Server) warnExpiry() {
	for _, c := range s.certificateStatus() {
		if c.DaysLeft < expiryWarn && !failpoint.On(failpoint.TLSExpiryUntold) {
			s.log.Warn("a certificate expires soon, or has expired: replace its files", "field", c.Field, "not_after", c.NotAfter, "days_left", c.DaysLeft)
		}
	}
}

// logReload logs that files were read again.
func (s *Server) logReload(w *watchedFiles, err error) {
	switch {
	case err != nil:
		s.log.Error("a changed file cannot be used: its old content stays in use", "field", w.field, "error", err)
	case w.certificate != nil:
		s.logCertificate(w)
	default:
		s.log.Info("file read again", "field", w.field)
	}
	s.audit.reload(w.field, err)
	if err == nil && w.changed != nil {
		w.changed(s)
	}
}

// logCertificate logs what is new after the files of a certificate were read again.
func (s *Server) logCertificate(w *watchedFiles) {
	switch c, notAfter := w.certificate.LastChange(), w.certificate.NotAfter(); {
	case c.Certificate && c.Authorities:
		s.log.Info("certificate and authorities replaced", "field", w.field, "not_after", notAfter)
	case c.Certificate:
		s.log.Info("certificate replaced", "field", w.field, "not_after", notAfter)
	case c.Authorities:
		s.log.Info("authorities replaced", "field", w.field, "not_after", notAfter)
	default:
		s.log.Info("certificate read again, nothing has changed", "field", w.field, "not_after", notAfter)
	}
}

// A CertificateStatus describes a certificate of an instance that comes from a file.
type CertificateStatus struct {
	Field    string    `json:"field"`     // clients.tls, admin.tls or replication.tls
	NotAfter time.Time `json:"not_after"` // when it expires, or an intermediate one in its file
	DaysLeft int       `json:"days_left"` // negative: it has expired
}

// certificateStatus returns the certificates.
func (s *Server) certificateStatus() (list []CertificateStatus) {
	for _, w := range s.files.watched {
		if w.certificate == nil {
			continue
		}
		until := w.certificate.NotAfter()
		list = append(list, CertificateStatus{w.field, until, int(math.Floor(time.Until(until).Hours() / 24))})
	}
	return list
}
