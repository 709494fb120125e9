package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// A deadlineReader reads from a session's connection. Before each read it announces the records
// that the session has appended. Once the client is logged on, a read fails if no byte arrives for
// longer than the heartbeat interval allows.
type deadlineReader struct{ s *session }

func (r deadlineReader) Read(p []byte) (int, error) {
	r.s.core.Notify()
	if err := r.setDeadline(); err != nil {
		return 0, err
	}
	// The state is checked after the deadline is set. A change of the state that comes later sets a
	// deadline in the past and so ends the read.
	if r.s.core.State() != servercore.StateOpen {
		return 0, servercore.ErrEnding
	}
	n, err := r.s.conn.Read(p)
	if err != nil && r.s.core.State() != servercore.StateOpen {
		err = servercore.ErrEnding
	}
	return n, err
}

// A partialFrame is a frame that has been received in part.
type partialFrame struct {
	framesBefore uint64    // number of complete frames before it
	since        time.Time // when it began; zero: there is none
}

// deadline returns the time by which the rest of the frame must arrive. bytes is the number of its
// bytes that have arrived, and limit is Limits.Frame. begun is false if no frame has begun.
func (p *partialFrame) deadline(frames uint64, bytes int, limit time.Duration) (by time.Time, begun bool) {
	switch {
	case bytes == 0 || failpoint.On(failpoint.DSlowFrames):
		p.since = time.Time{}
		return by, false
	case p.since.IsZero() || p.framesBefore != frames:
		*p = partialFrame{framesBefore: frames, since: time.Now()}
	}
	return p.since.Add(limit + time.Duration(bytes/frameRate)*time.Second), true
}

// setDeadline sets the read deadline of a logged-on session. Before that the logon deadline
// applies.
func (r deadlineReader) setDeadline() error {
	if !r.s.core.LoggedOn() {
		return nil
	}
	var deadline time.Time
	limits := &r.s.srv.cfg.Limits
	if silence := cmp.Or(r.s.core.Silence(), time.Duration(limits.Idle)); silence > 0 && !failpoint.On(failpoint.HeartbeatsIgnored) {
		deadline = time.Now().Add(silence)
		if r.s.silence != silence {
			r.s.silence, r.s.silent = silence, fmt.Sprintf("the client was silent for %v", silence)
		}
		r.s.late = r.s.silent
	}
	by, begun := r.s.partial.deadline(r.s.frames, r.s.reader.Buffered(), time.Duration(limits.Frame))
	if begun && (deadline.IsZero() || by.Before(deadline)) {
		deadline, r.s.late = by, "a frame of the client was not complete in time"
	}
	return r.s.conn.SetReadDeadline(deadline)
}

// endReason returns the reason why a session ends after its reader returned err. The result is
// empty if the session knows the reason already.
func (s *session) endReason(err error) string {
	switch {
	case errors.Is(err, servercore.ErrEnding):
		return "" // the session knows the reason
	case err == nil, errors.Is(err, io.EOF):
		return "closed by the client"
	case s.core.LoggedOn() && errors.Is(err, os.ErrDeadlineExceeded):
		return s.late
	}
	return err.Error()
}

// linger gives the client time to read the last frames, after the reader returned err. Closing a
// connection with unread input would reset it and destroy frames that are on their way.
func (s *session) linger(err error) {
	if errors.Is(err, errTLSClient) {
		s.sendAlert()
	}
	half, ok := s.conn.(interface{ CloseWrite() error })
	if !ok || s.core.State() == servercore.StateDead || half.CloseWrite() != nil || errors.Is(err, io.EOF) {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, s.conn) // returns at the end of input or at the deadline; either is fine
	}
}

// closeSession ends a session that takes too long to end.
func closeSession(c *servercore.Session) {
	c.Abort("the instance stops")
	c.Driver().(*session).conn.Close()
}

// killSession ends a session as the death of the process would.
func killSession(c *servercore.Session) {
	c.Abort("killed")
	conn := c.Driver().(*session).conn
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // the connection is closed anyway
	}
	conn.Close()
}
