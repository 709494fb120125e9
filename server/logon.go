package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// maxChallenges bounds the challenges of one logon. Some clients of the protocol give up at the
// third.
const maxChallenges = 3

// errNoAnswer ends a session whose client has not answered a challenge.
var errNoAnswer = errors.New("no answer to the challenge")

// authenticate has the Authenticator decide the logon in s.msg, which may take several logon
// commands. Then s.msg is the last of them, and the session has a user. A refusal waits, so that
// passwords cannot be tried quickly. A logon that a stop interrupts gets no answer.
func (s *session) authenticate() error {
	ctx, cancel := context.WithDeadline(s.ctx, s.logonDeadline())
	defer cancel()
	defer context.AfterFunc(s.srv.logons, cancel)()
	if !s.srv.authFailures.begin(s.source, time.Now()) {
		s.srv.audit.turnedAway(s.source, s.conn, "too many logons at once from an address with failed logons")
		s.core.RefuseUser(string(s.msg.CommandID))
		return servercore.ErrEnding
	}
	defer s.srv.authFailures.end(s.source)
	l := s.logon()
	l.challenge = s.challenges()
	user, err := s.srv.cfg.Authenticator.Authenticate(ctx, l)
	if err == nil && !servercore.ValidUser(user) {
		err = errors.New("the authenticator returned a name that no user can have")
	}
	if err == nil && !s.srv.setUser(s.core, user) {
		err = fmt.Errorf("user %q has no permissions", user)
	}
	switch {
	case s.srv.isStopping():
		return servercore.ErrEnding
	case err == nil:
		s.authenticated = true
		return nil
	case errors.Is(err, errNoAnswer): // it has learned nothing
		return err
	}
	return s.refuseUser(ctx, l.User, err)
}

// refuseUser refuses the logon in s.msg because of err.
func (s *session) refuseUser(ctx context.Context, user string, cause error) error {
	s.srv.instance.Counts.AuthFailures.Add(1)
	s.core.Log().Warn("logon refused: the client has not proven its user", "user", user, "client", string(s.msg.ClientName), "reason", cause)
	s.auditRefusal(cause)
	id := string(s.msg.CommandID) // the frame may be overwritten
	select {
	case <-s.srv.stopping: // without an answer, which would tell too early that the password is wrong
		return servercore.ErrEnding
	case <-ctx.Done():
	case <-time.After(s.srv.authFailures.delay(s.source, time.Now())):
	}
	s.core.RefuseUser(id)
	return servercore.ErrEnding
}

// logon returns the logon in s.msg.
func (s *session) logon() *Logon {
	return &Logon{
		User: string(s.msg.UserID), Password: string(s.msg.Password), ClientName: string(s.msg.ClientName),
		RemoteAddr: s.conn.RemoteAddr(), TLS: s.tlsState(),
	}
}

// challenges returns the function that sends a challenge and reads the next logon into s.msg.
func (s *session) challenges() func(ctx context.Context, user, text string) (*Logon, error) {
	n := 0
	return func(ctx context.Context, user, text string) (*Logon, error) {
		if n++; n > maxChallenges && !failpoint.On(failpoint.AuthAnyChallenges) {
			return nil, ErrTooManyChallenges
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id := string(s.msg.CommandID)
		s.core.Challenge(id, user, text)
		if failpoint.On(failpoint.AuthNoDeadline) {
			_ = s.conn.SetReadDeadline(time.Time{})
		}
		frame, err := s.reader.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		if err := wire.Parse(frame, &s.msg); err != nil {
			return nil, fmt.Errorf("malformed command: %w", err)
		}
		if s.msg.Command != wire.Logon {
			return nil, fmt.Errorf("the client answered the challenge with %v instead of a logon", s.msg.Command)
		}
		return s.logon(), nil
	}
}
