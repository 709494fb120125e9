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

// usersChanged applies a file of users that was read again.
func (s *Server) usersChanged() {
	s.log.Info("the permissions of users have changed", "permissions", s.cfg.Authorizer.Version().Number)
	s.PermissionsChanged()
}

// warnOfClearText logs that users log on without TLS from other machines.
func (s *Server) warnOfClearText() {
	if s.cfg.Authenticator != nil && s.files.clientTLS == nil && !isLoopback(s.cfg.Clients.Listen) {
		s.log.Warn("users log on without TLS: whoever reads or changes the traffic can read messages and take over sessions", "field", "clients.tls")
	}
}
