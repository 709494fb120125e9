package replica

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// now sends what there is to send on the goroutine that brought it, as far as
// the connection takes it at once: to wake write's goroutine would take longer.
// It does not block. What is left, or does not suit a guest, is left to write.
func (c *conn) now() {
	s := c.sender
	if s.atOnce == nil || !s.mine.Try() {
		c.signal()
		return
	}
	defer s.mine.Give()
	if !s.looping || s.trimmed || s.floors != nil || len(s.rest) > 0 {
		c.signal()
		return
	}
	s.guest = true
	busy, err := s.turn()
	s.guest = false
	if err != nil {
		c.fail(err)
	}
	if busy || len(s.rest) > 0 {
		c.signal()
	}
}

// hostTurn is a turn of write's goroutine, behind what a guest has left.
func (s *sender) hostTurn(beat bool) (busy bool, err error) {
	s.mine.Take()
	defer s.mine.Give()
	s.looping = true
	s.beatDue = s.beatDue || beat
	if err := s.bytes(s.rest); err != nil || s.stopped() {
		return false, err
	}
	s.rest = s.rest[:0]
	return s.turn()
}

// bytesAtOnce writes what the connection takes at once, and keeps the rest.
func (s *sender) bytesAtOnce(frame []byte) error {
	if len(s.rest) == 0 {
		if err := s.c.nc.SetWriteDeadline(time.Now().Add(Silence(s.c.l.o.Heartbeat))); err != nil {
			return fmt.Errorf("link lost: %w", err)
		}
		n, err := s.atOnce.Write(frame)
		if err != nil {
			return fmt.Errorf("link lost: %w", err)
		}
		frame = frame[n:]
	}
	if !mut.On(mut.GuestForgets) {
		s.rest = append(s.rest, frame...)
	}
	return nil
}
