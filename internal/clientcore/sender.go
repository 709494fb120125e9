package clientcore

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Window limits the messages in flight. It is the Session, perhaps behind a lock.
type Window interface {
	// Room reports whether another message may be sent.
	Room() bool
	// Write notes that one is about to be sent, and returns its sequence on the
	// wire, whether it may have been sent before, and whether there is room for another.
	Write(sequence uint64, bytes int) (onWire uint64, again, room bool)
	// Exhausted notes that the store, which has these lives, has nothing more to
	// send, for now. again: it is to be asked once more.
	Exhausted(lives []pubstore.Life) (again bool)
	// MayLeaveOut reports whether the server knows that the sequences between two,
	// both included, were rejected.
	MayLeaveOut(from, to uint64) bool
	// CaughtUp notes, once, that all that may have been sent before was sent
	// again, so many messages.
	CaughtUp(resent int)
}

// A Sender encodes the messages in the publish store, in order. New and replayed
// messages come from one cursor, so that a new one cannot overtake a replayed
// one (R1). A Sender isn't safe for concurrent use.
type Sender struct {
	window   Window
	store    pubstore.Store
	cursor   pubstore.Cursor
	plain    bool   // towards a server without our extensions
	replayTo uint64 // messages above it were never sent
	replayed bool   // all up to there was sent again
	resent   int
	next     pubstore.Message // scratch
}

// Close closes the cursor.
func (s *Sender) Close() { s.cursor.Close() }

// Fill appends publishes as far as store and window allow, up to a length of dst.
func (s *Sender) Fill(dst []byte, limit int) ([]byte, error) {
	for room := s.window.Room(); room && len(dst) < limit; {
		more, err := s.cursor.Next(&s.next)
		if err != nil {
			return dst, fmt.Errorf("read publish store: %w", err)
		}
		if !more {
			s.caughtUp()
			if s.window.Exhausted(s.store.Lives()) {
				continue
			}
			break
		}
		if s.next.Sequence > s.replayTo {
			s.caughtUp()
		}
		if m := &s.next; !s.plain && m.Prev+1 < m.Sequence && !s.window.MayLeaveOut(m.Prev+1, m.Sequence-1) {
			return dst, ErrRestate
		}
		dst, room = s.appendPublish(dst)
	}
	return dst, nil
}

func (s *Sender) caughtUp() {
	if !s.replayed {
		s.replayed = true
		s.window.CaughtUp(s.resent)
	}
}

// appendPublish appends the next message. room says whether another may follow it.
func (s *Sender) appendPublish(dst []byte) (longer []byte, room bool) {
	m := &s.next
	sequence, again, room := s.window.Write(m.Sequence, m.Size())
	if again {
		s.resent++
	}
	p := wire.PublishCommand{
		Delta:         m.Delta,
		Topic:         m.Topic,
		Acks:          wire.AckPersisted,
		Sequence:      sequence,
		SequenceID:    s.plain,
		CorrelationID: m.CorrelationID,
		SOWKey:        m.SOWKey,
		Body:          m.Body,
	}
	if m.Expiration > 0 {
		p.Expiration, p.HasExpiration = uint64(max(m.Expiration/time.Second, 1)), true
	}
	return p.AppendTo(dst), room
}
