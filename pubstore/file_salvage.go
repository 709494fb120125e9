package pubstore

import (
	"errors"
	"io"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// eachAside calls f for each good record behind the damage that ends the log.
func (s *File) eachAside(f func(seglog.Record) error) error {
	c, err := s.log.Aside()
	if err != nil || c == nil {
		return err
	}
	return eachRecord(c, f)
}

// eachRecord calls f for each record from a cursor on, and closes that.
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

// replayBehindDamage is replay of a record behind damage. Records between are
// missing, so what contradicts the ledger is only left out.
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

// salvage copies what is kept of the messages behind the damage to the log.
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
