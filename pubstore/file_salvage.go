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

// replayBehindDamage replays a record after damage. Records in between are missing, so a record
// that contradicts the ledger is ignored.
func (l *ledger) replayBehindDamage(r seglog.Record) error {
	if r.Kind == kindMessage {
		publisher, seq, err := recordIdentity(r.Payload)
		if w := l.of(publisher); err == nil && w != nil {
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
		w := s.ledger.of(publisher)
		if w == nil || !w.holds(seq) || w.slots.at(seq).pos != noPos {
			return nil
		}
		pos, err := s.log.Append(kindMessage, r.Payload)
		if err == nil {
			w.fill(seq, uint64(pos), size, ms)
		}
		return err
	})
}
