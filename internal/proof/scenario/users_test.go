package scenario_test

import (
	"context"
	"crypto/sha256"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/server"
)

// Permissions allow every user everything, except one user one topic. They are a server.Authenticator,
// which believes clients, and a server.Authorizer.
type permissions struct {
	denied atomic.Pointer[denial]
}

// A denial is a user that may not publish to a topic.
type denial struct{ user, topic string }

// Authenticate implements server.Authenticator.
func (p *permissions) Authenticate(_ context.Context, l *server.Logon) (string, error) {
	if l.User == "" {
		return "anybody", nil
	}
	return l.User, nil
}

// Permissions implements server.Authorizer.
func (p *permissions) Permissions(user string) (server.Permissions, bool) {
	d := *p.denied.Load()
	return server.Permissions{Publish: func(topic []byte) bool { return d != denial{user, string(topic)} }}, true
}

// Version implements server.Authorizer.
func (p *permissions) Version() server.PermissionsVersion {
	d := *p.denied.Load()
	return server.PermissionsVersion{Number: 1, Hash: sha256.Sum256([]byte(d.user + " " + d.topic))}
}

// users gives an instance users.
func (w *world) users(sc *server.Config) {
	p := new(permissions)
	p.denied.Store(&denial{})
	w.permissions[sc.Name] = p
	sc.Authenticator, sc.Authorizer = p, p
}

// deny changes the permissions of an instance, running or not: deny A USER TOPIC.
func (w *world) deny(c *command) string {
	w.TB.Helper()
	w.permissions[c.name(0)].denied.Store(&denial{c.name(1), c.name(2)})
	if s := w.Node(c.name(0)).Server; s != nil {
		s.PermissionsChanged()
	}
	return ""
}
