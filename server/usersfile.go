package server

import (
	"context"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/reload"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// usersFile are the users of a file: who they are and what they may do. It implements Authenticator,
// Authorizer and reloader.
type usersFile struct{ *reload.Value[*users.Set] }

// openUsers reads the file of users.
func (f *files) openUsers(c *Config) error {
	if c.Clients.Users == "" {
		return nil
	}
	file := c.Clients.Users
	v, err := reload.New(func() (*users.Set, error) { return users.Load(file) }, file)
	if err != nil {
		return &ConfigError{Field: "clients.users", Text: err.Error()}
	}
	u := usersFile{v}
	c.Authenticator, c.Authorizer = u, u
	f.watched = append(f.watched, watchedFiles{field: "clients.users", reloader: u, changed: (*Server).usersChanged})
	return nil
}

// Authenticate implements Authenticator.
func (u usersFile) Authenticate(ctx context.Context, l *Logon) (user string, err error) {
	user, err = u.Get().Authenticate(ctx, users.Attempt{
		User: l.User, Password: l.Password, TLS: l.TLS, Source: sourceNetwork(l.RemoteAddr),
		Challenge: func(ctx context.Context, user, text string) (answer string, err error) {
			err = l.Challenge(ctx, user, text)
			return l.Password, err
		},
	})
	if denied, ok := errors.AsType[*users.DeniedError](err); ok {
		return "", errors.New(denied.Cause)
	}
	return user, err
}

// Permissions implements Authorizer.
func (u usersFile) Permissions(user string) (p Permissions, ok bool) {
	of, ok := u.Get().User(user)
	if !ok {
		return Permissions{}, false
	}
	l := of.Limits
	return Permissions{
		ClientName: func(name string) bool { return of.ClientNames.Allows([]byte(name)) },
		Publish:    of.Publish.Allows,
		Subscribe:  of.Subscribe.Allows,
		Limits: UserLimits{
			Connections: l.Connections, Subscriptions: l.Subscriptions, Publishers: l.Publishers,
			PublisherRate: float64(l.PublisherRate), BytesPerSecond: l.BytesPerSecond,
		},
	}, true
}

// Version implements Authorizer.
func (u usersFile) Version() PermissionsVersion {
	set := u.Get()
	return PermissionsVersion{Number: set.Version(), Hash: set.Hash()}
}

// usersChanged applies a file of users that was read again. Its limits may have changed even if its
// permissions have not.
func (s *Server) usersChanged() { s.applyPermissions(false) }

// warnOfInsecure logs settings of insecure that have no effect now, but would open a port later.
func (s *Server) warnOfInsecure() {
	c, a, r := &s.cfg.Clients, &s.cfg.Admin, s.cfg.Replication
	for _, section := range []struct {
		name              string
		insecure, without bool   // as configured; the section passes its check without it
		protection        string // that insecure stands for
	}{
		{"clients", c.Insecure, s.cfg.Authenticator != nil || c.TLS.requiresCert() || requiresCert(c.TLSConfig), "users or certificates of clients"},
		{"replication", r != nil && r.Insecure, s.files.links != nil || s.files.secrets != nil || r != nil && r.TLSConfig != nil, "TLS or a secret"},
		{"admin", a.Insecure, s.files.token != nil || a.TLS.requiresCert() || requiresCert(a.TLSConfig), "a token or certificates of clients"},
	} {
		if section.insecure && section.without {
			s.log.Warn("insecure: true has no effect while the port is protected, but without the protection the instance would start with an open port: remove it",
				"field", section.name+".insecure", "protection", section.protection)
		}
	}
}

// warnOfClearText logs that users log on without TLS from other machines.
func (s *Server) warnOfClearText() {
	if s.cfg.Authenticator != nil && s.files.clientTLS == nil && !isLoopback(s.cfg.Clients.Listen) {
		s.log.Warn("users log on without TLS: whoever reads or changes the traffic can read messages and take over sessions", "field", "clients.tls")
	}
}
