package clientcore

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// ErrHungUp is a part of why a connection ended that its server has closed without a word.
var ErrHungUp = errors.New("server closed the connection")

// maxPushes is how many connections in a row are closed right after the logon before
// that counts as a client name in use.
const maxPushes = 3

// pushedOut takes in why the connection ended, and reports whether another process
// seems to have the client name (R11): servers without our extensions close the older
// connection of a name without a word, so that two processes would push each other
// out for ever. An attempt that was not logged on says nothing.
func (s *Session) pushedOut(cause error, now time.Time) bool {
	switch {
	case s.began.IsZero():
		return false
	case !s.server.Plain, !errors.Is(cause, ErrHungUp), now.Sub(s.began) >= StableAfter:
		s.pushes = 0
		return false
	}
	s.pushes++
	return s.pushes >= maxPushes && !mut.On(mut.R11PushesBack)
}
