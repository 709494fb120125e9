package server

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// An Authenticator decides which user a client is. Its method is called once for each logon, on a
// goroutine of that session. It must be safe for concurrent use, and it should bound the work that
// it does at once, because clients that are not authenticated cause it.
type Authenticator interface {
	// Authenticate returns the name of the user that logs on: 1 to 1,024 bytes of valid UTF-8
	// without control characters. An error refuses the logon. The client is told "auth failure"
	// only; the error goes to the log and to the audit log, so it must not contain a password. ctx
	// ends when the time for the logon is over.
	Authenticate(ctx context.Context, l *Logon) (user string, err error)
}

// An Authorizer decides what users may do. It must be safe for concurrent use, and its methods must
// not block.
type Authorizer interface {
	// Permissions returns the permissions of a user. ok is false if there is no such user: its
	// logons are refused and its sessions end. It is called at each logon, and for each open
	// session after Server.PermissionsChanged.
	Permissions(user string) (p Permissions, ok bool)
	// Version identifies the permissions of all users. The instances of a group tell it each other.
	// While the versions differ, and in the first minute without a peer, a publish that is not
	// entitled ends its session, so that the client tries again later. While they are equal, such a
	// message is rejected for good.
	Version() PermissionsVersion
}

// A PermissionsVersion identifies the permissions of all users. The zero version means that there
// are no users.
type PermissionsVersion struct {
	Number uint64   `json:"number"` // raised by each change; only shown
	Hash   [32]byte `json:"-"`      // equal on two instances if they would refuse the same
}

// Permissions are what a user may do. A nil function allows everything. The functions must be safe
// for concurrent use, and fast: they run for each topic that a session meets.
type Permissions struct {
	ClientName func(name string) bool  // client names that the user may log on with
	Publish    func(topic []byte) bool // topics that the user may publish to
	Subscribe  func(topic []byte) bool // topics whose messages the user may get
	Limits     UserLimits
}

// UserLimits bound the cost of one user on this instance, over all sessions of the user together. 0
// means the limit of the configuration.
type UserLimits struct {
	Connections    int     // sessions at once; 0: Limits.ConnectionsPerUser
	Subscriptions  int     // of one session; 0: Limits.Subscriptions
	Publishers     int     // publishers that belong to the user; 0: Limits.PublishersPerUser
	PublisherRate  float64 // new publishers per second; 0: Limits.PublisherRate
	BytesPerSecond int64   // of commands; 0: Limits.BytesPerSecond. A session that sends more is read more slowly
}

// A Logon is the attempt of a client to log on.
type Logon struct {
	User       string               // user of the logon command; may be empty
	Password   string               // password or token of the logon command; may be empty
	ClientName string               // client name of the logon command; may be empty
	RemoteAddr net.Addr             // address of the client
	TLS        *tls.ConnectionState // nil: the connection has no TLS

	challenge func(ctx context.Context, user, text string) (*Logon, error)
}

// ErrTooManyChallenges is the error of Logon.Challenge after the third challenge of a logon.
var ErrTooManyChallenges = errors.New("a logon may have three challenges at most")

// Challenge asks the client to log on again on the same connection, and sets User and Password to
// its answer. user and text are sent to the client, which gets them in its client.Challenge. An
// error means that the client did not answer; Authenticate should return it.
func (l *Logon) Challenge(ctx context.Context, user, text string) error {
	answer, err := l.challenge(ctx, user, text)
	if err != nil {
		return err
	}
	l.User, l.Password = answer.User, answer.Password
	return nil
}

// permissionChanges puts the changes of permissions in order.
type permissionChanges struct {
	mu      sync.Mutex         // held while the permissions of a session are set
	version PermissionsVersion // guarded by mu; at the last change
}

// PermissionsChanged applies changed permissions to all open sessions. A session of a user that
// exists no more ends, and so does a session whose client name is not allowed any more. A
// subscription to one topic that is not allowed any more ends with a failure; others go on without
// the messages that are not allowed. Publishes that are already recorded stay.
func (s *Server) PermissionsChanged() {
	if s.cfg.Authorizer != nil {
		s.applyPermissions(true)
	}
}

// applyPermissions applies the permissions to all open sessions. It reports them as changed if they
// differ from those of the last call, or always.
func (s *Server) applyPermissions(always bool) {
	if failpoint.On(failpoint.PermissionsStale) {
		return
	}
	if after, changed := s.replacePermissions(always); changed {
		s.log.Info("the permissions of users have changed", "permissions", after.Number, "hash", hex.EncodeToString(after.Hash[:]))
	}
}

// replacePermissions replaces the permissions of all open sessions. The audit log has the change
// before what it does to sessions.
func (s *Server) replacePermissions(always bool) (after PermissionsVersion, changed bool) {
	s.permissions.mu.Lock()
	defer s.permissions.mu.Unlock()
	before := s.permissions.version
	after = s.cfg.Authorizer.Version()
	s.permissions.version = after
	if changed = always || before.Hash != after.Hash; changed {
		s.audit.write(auditPermissionsChanged, slog.Uint64("before", before.Number), slog.Uint64("after", after.Number), slog.String("hash", hex.EncodeToString(after.Hash[:])))
	}
	s.eachSession(func(c *servercore.Session) {
		if user, ok := c.User(); ok {
			c.SetPermissions(s.permissionsOf(user))
		}
	})
	return after, changed
}

// setUser sets the user of a session, and the user's permissions. It returns false if there is no
// such user. Its lock makes sure that no session keeps permissions from before a change.
func (s *Server) setUser(c *servercore.Session, user string) bool {
	c.SetUser(user)
	if s.cfg.Authorizer == nil {
		return true
	}
	s.permissions.mu.Lock()
	defer s.permissions.mu.Unlock()
	p := s.permissionsOf(user)
	if p == nil {
		return false
	}
	c.SetPermissions(p)
	return true
}

// A UsersStatus tells which permissions of users an instance has.
type UsersStatus struct {
	Version uint64   `json:"version"`          // of the permissions, see PermissionsVersion
	Hash    string   `json:"hash"`             // of the permissions, hex; equal on instances that agree
	Differ  []string `json:"differ,omitempty"` // peers that have had other permissions for a minute
}

// usersStatus returns the state of the users, nil if there are none.
func (s *Server) usersStatus() *UsersStatus {
	if s.cfg.Authorizer == nil {
		return nil
	}
	v := s.cfg.Authorizer.Version()
	st := &UsersStatus{Version: v.Number, Hash: hex.EncodeToString(v.Hash[:])}
	if l := s.links.Load(); l != nil {
		st.Differ = l.PermissionsDiffer()
	}
	return st
}

// permissionsOf returns the permissions of a user in the form of package servercore, nil if there
// is no such user.
func (s *Server) permissionsOf(user string) *servercore.Permissions {
	p, ok := s.cfg.Authorizer.Permissions(user)
	if !ok {
		return nil
	}
	l, d := p.Limits, s.cfg.Limits
	orDefault(&l.Subscriptions, int(d.Subscriptions))
	orDefault(&l.Publishers, int(d.PublishersPerUser))
	orDefault(&l.PublisherRate, float64(d.PublisherRate))
	orDefault(&l.Connections, int(d.ConnectionsPerUser))
	orDefault(&l.BytesPerSecond, int64(d.BytesPerSecond))
	return &servercore.Permissions{
		ClientName: p.ClientName, Publish: p.Publish, Subscribe: p.Subscribe, Limits: servercore.UserLimits(l),
	}
}
