package pubstore

import (
	"errors"
	"io"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// eachAside calls f for each good record after the damage that ends the log.
func (s *File) eachAside(f func(seglog.Record) error) error {
	c, err := s.log.Aside()
	if err != nil || c == nil {
		return err
	}
	return eachRecord(c, f)
}

// eachRecord calls f for each record of a cursor and closes the cursor.
func eachRecord(c *seglog.Cursor, f func(seglog.Record) error) error {
	defer c.Close()
	for {
		r, err := c.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f(r)
		}
		if err != nil {
			return err
		}
	}
}

// replayAfterDamage replays a record after damage. Records in between are missing, so a record
// that contradicts the state is ignored.
func (s *storeState) replayAfterDamage(r seglog.Record) error {
	if r.Kind == kindMessage {
		publisher, seq, err := recordIdentity(r.Payload)
		if l := s.lifeOf(publisher); err == nil && l != nil {
			l.last = max(l.last, seq)
		}
		return nil
	}
	if err := s.replay(r.Kind, r.Payload); err != nil && !errors.Is(err, errState) {
		return err
	}
	return nil
}

// salvage copies the kept messages after the damage to the log.
func (s *File) salvage() error {
	return s.eachAside(func(r seglog.Record) error {
		if r.Kind != kindMessage {
			return nil
		}
		publisher, seq, _ := recordIdentity(r.Payload)
		size, ms, err := recordMeta(r.Payload)
		if err != nil {
			return nil
		}
		l := s.state.lifeOf(publisher)
		if l == nil || !l.isKept(seq) || l.slots.at(seq).pos != noPos {
			return nil
		}
		pos, err := s.log.Append(kindMessage, r.Payload)
		if err == nil {
			l.fillSlot(seq, uint64(pos), size, ms)
		}
		return err
	})
}
