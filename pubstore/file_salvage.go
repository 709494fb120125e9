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
// that contradicts the ledger is ignored.
func (l *storeState) replayAfterDamage(r seglog.Record) error {
	if r.Kind == kindMessage {
		publisher, seq, err := recordIdentity(r.Payload)
		if w := l.lifeOf(publisher); err == nil && w != nil {
			w.last = max(w.last, seq)
		}
		return nil
	}
	if err := l.replay(r.Kind, r.Payload); err != nil && !errors.Is(err, errState) {
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
		w := s.state.lifeOf(publisher)
		if w == nil || !w.isKept(seq) || w.slots.at(seq).pos != noPos {
			return nil
		}
		pos, err := s.log.Append(kindMessage, r.Payload)
		if err == nil {
			w.fillSlot(seq, uint64(pos), size, ms)
		}
		return err
	})
}
