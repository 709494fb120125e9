package clientcore

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// ErrHungUp is part of the cause if the server closed the connection without giving a reason.
var ErrHungUp = errors.New("server closed the connection")

// maxEarlyCloses limits the consecutive connections that the server closes right after the
// logon. At this number the client name counts as in use.
const maxEarlyCloses = 3

// nameSeemsInUse records the cause of a connection's end, and reports whether another process
// seems to use the client name (R11). A plain server closes the older connection of a name
// without giving a reason, so two processes would end each other's connections for ever.
// Attempts without a logon do not count.
func (s *Session) nameSeemsInUse(cause error, now time.Time) bool {
	switch {
	case s.startedAt.IsZero():
		return false
	case !s.server.Plain, !errors.Is(cause, ErrHungUp), now.Sub(s.startedAt) >= StableAfter:
		s.earlyCloses = 0
		return false
	}
	s.earlyCloses++
	return s.earlyCloses >= maxEarlyCloses && !failpoint.On(failpoint.R11PushesBack)
}
