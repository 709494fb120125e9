package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast-mq/holdfast/server"
)

const (
	maxUser  = 1024    // length of the longest name of a user, in bytes
	maxUsers = 100_000 // users whose groups are remembered, each about 300 bytes
)

// An access decides by tokens which user a client is, and by the user's groups what the user may do:
// it is a server.Authenticator and a server.Authorizer. It is safe for concurrent use.
//
// The server asks for permissions by the name of the user, so access remembers the groups of each
// user. Those of the newest token apply, also to a logon with an older one: a token that was stolen
// before the user lost a group does not bring the group back.
type access struct {
	issuer *issuer
	table  *table

	mu    sync.Mutex
	users map[string]member // guarded by mu; by name
}

// A member is a user in the groups of its newest token.
type member struct {
	groups          []string // sorted; those that the table has
	issued, expires time.Time
}

func newAccess(i *issuer, t *table) *access {
	return &access{issuer: i, table: t, users: make(map[string]member)}
}

// Authenticate implements server.Authenticator. The password of the logon is the token; its user is
// ignored.
func (a *access) Authenticate(ctx context.Context, l *server.Logon) (string, error) {
	if l.Password == "" {
		return "", errors.New("the logon has no token: send it as the password")
	}
	claims, err := a.issuer.verify(ctx, l.Password)
	if err != nil {
		return "", err
	}
	user, err := a.table.user(claims)
	if err != nil {
		return "", err
	}
	m, err := a.member(claims)
	if err != nil {
		return "", err
	}
	return user, a.remember(user, m)
}

// member returns the groups and times of a token.
func (a *access) member(claims jwt.MapClaims) (member, error) {
	issued, err := claims.GetIssuedAt()
	if err != nil || issued == nil {
		return member{}, errors.New("the token has no claim iat: without it nobody knows the newest one")
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return member{}, errors.New("the token has no claim exp")
	}
	return member{groups: a.table.groups(claims), issued: issued.Time, expires: expires.Time}, nil
}

// remember keeps the groups of a user's newest token. Of two tokens of one second, either may be the
// newest: then only the groups that both have apply.
func (a *access) remember(user string, m member) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	former, known := a.users[user]
	switch {
	case known && m.issued.Before(former.issued):
		return nil
	case known && m.issued.Equal(former.issued):
		m.groups = slices.DeleteFunc(m.groups, func(name string) bool { return !slices.Contains(former.groups, name) })
	case !known && len(a.users) >= maxUsers:
		now := time.Now()
		maps.DeleteFunc(a.users, func(_ string, m member) bool { return m.expires.Before(now) })
		if len(a.users) >= maxUsers {
			return fmt.Errorf("there are %d users with valid tokens: raise maxUsers", len(a.users))
		}
	}
	a.users[user] = m
	return nil
}

// Permissions implements server.Authorizer. A user that is in no group of the table cannot log on:
// its messages stay in its publish store, where a publish that is not entitled would reject them.
func (a *access) Permissions(user string) (server.Permissions, bool) {
	a.mu.Lock()
	groups := a.users[user].groups
	a.mu.Unlock()
	if len(groups) == 0 {
		return server.Permissions{}, false
	}
	return a.table.permissions(groups), true
}

// Version implements server.Authorizer. It does not cover the groups of users, since an instance does
// not know the tokens that only its peer has seen; README.md says what follows.
func (a *access) Version() server.PermissionsVersion { return a.table.version }
