package server

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// A deadlineReader reads from a session's connection: once the client is
// logged on, for no longer than its heartbeats allow without a byte. Before it
// waits, it makes known what the session has appended.
type deadlineReader struct{ s *session }

func (r deadlineReader) Read(p []byte) (int, error) {
	r.s.core.Notify()
	if err := r.setDeadline(); err != nil {
		return 0, err
	}
	// After the deadline: a change of the state comes first, then a deadline
	// that has passed.
	if r.s.core.State() != servercore.StateOpen {
		return 0, servercore.ErrEnding
	}
	n, err := r.s.conn.Read(p)
	if err != nil && r.s.core.State() != servercore.StateOpen {
		err = servercore.ErrEnding
	}
	return n, err
}

// A partFrame is a frame of which a part has come.
type partFrame struct {
	after uint64    // frames before it
	since time.Time // zero: none
}

// until returns by when all of a frame must have come of which so many bytes are here;
// false: none has begun.
func (p *partFrame) until(frames uint64, bytes int) (by time.Time, begun bool) {
	switch {
	case bytes == 0 || mut.On(mut.DSlowFrames):
		p.since = time.Time{}
		return by, false
	case p.since.IsZero() || p.after != frames:
		*p = partFrame{after: frames, since: time.Now()}
	}
	return p.since.Add(frameDeadline + time.Duration(bytes/frameRate)*time.Second), true
}

// setDeadline leaves that of the logon as it is.
func (r deadlineReader) setDeadline() error {
	if !r.s.core.LoggedOn() {
		return nil
	}
	var deadline time.Time
	if silence := r.s.core.Silence(); silence > 0 && !mut.On(mut.HeartbeatsIgnored) {
		deadline = time.Now().Add(silence)
	}
	by, begun := r.s.partly.until(r.s.frames, r.s.reader.Buffered())
	if begun && (deadline.IsZero() || by.Before(deadline)) {
		deadline = by
	}
	return r.s.conn.SetReadDeadline(deadline)
}

// reasonOf says why a session ends whose reader has ended with err; empty: the
// session has said so before.
func (s *session) reasonOf(err error) string {
	switch {
	case errors.Is(err, servercore.ErrEnding):
		return "" // the session knows
	case err == nil, errors.Is(err, io.EOF):
		return "closed by the client"
	case s.core.LoggedOn() && errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing, or no whole frame, came for too long"
	}
	return err.Error()
}

// linger lets the client read the last frames: closing with unread bytes
// would destroy them on the way.
func (s *session) linger() {
	half, can := s.conn.(interface{ CloseWrite() error })
	if !can || s.core.State() == servercore.StateDead || half.CloseWrite() != nil {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, s.conn) // its end or the deadline, either will do
	}
}

// cutOff ends a session that takes too long to end.
func cutOff(c *servercore.Session) {
	c.Cut("the instance stops")
	c.Driver().(*session).conn.Close()
}

// abandon ends a session as the death of the process would.
func abandon(c *servercore.Session) {
	c.Cut("killed")
	conn := c.Driver().(*session).conn
	if tcp, is := conn.(interface{ SetLinger(int) error }); is {
		_ = tcp.SetLinger(0) // closing anyway
	}
	conn.Close()
}
