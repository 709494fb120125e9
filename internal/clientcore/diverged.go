package clientcore

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// ErrDiverged is the kind of a DivergedError.
var ErrDiverged = errors.New("publisher has diverged")

// A DivergedError says that the servers have, or may have, two contents for one
// number of a publisher (R11), which a copied store or a forger brings about.
type DivergedError struct {
	Publisher uint64 // 0: the server does not say
	From      uint64 // the first of its numbers that is not proven to be the same on all servers
}

func (e *DivergedError) Error() string {
	if e.Publisher == 0 {
		return ErrDiverged.Error()
	}
	return fmt.Sprintf("publisher %d has diverged: from its message %d on servers may have different contents", e.Publisher, e.From)
}

func (e *DivergedError) Unwrap() error { return ErrDiverged }

// divergedError reads what an ack says of a diverged publisher.
func divergedError(m *wire.Message) *DivergedError {
	b, err := bookmark.Parse(m.Bookmark)
	if err != nil {
		return &DivergedError{}
	}
	return &DivergedError{Publisher: b.Publisher, From: b.Sequence}
}

// Apply calls tell for each message that the store keeps of a life that is to be given
// up, in order: it has to tell the application, then have the store let go of it. All
// of them have the outcome unknown: below From servers have the same, which may be
// another copy's.
func (l *Leave) Apply(store pubstore.Store, tell func(*Rejection, *pubstore.Message)) error {
	if l.GiveUp == "" {
		return nil
	}
	all := pubstore.Range{From: 1, To: bookmark.MaxSequence}
	return tellKept(store, Rejection{Life: l.GiveUp, Reason: wire.ReasonUnknown}, all, tell)
}

// tellKept calls tell for each message of a range that the store keeps, in order,
// each a rejection like as.
func tellKept(store pubstore.Store, as Rejection, of pubstore.Range, tell func(*Rejection, *pubstore.Message)) error {
	cursor, err := store.Cursor(as.Life, of.From-1)
	if errors.Is(err, pubstore.ErrNoLife) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read publish store: %w", err)
	}
	defer cursor.Close()
	var m pubstore.Message
	for {
		more, err := cursor.Next(&m)
		if err != nil || !more || m.Sequence > of.To {
			return err
		}
		r := &Rejection{Life: as.Life, Sequence: m.Sequence, Reason: as.Reason}
		kept, err := r.Message(store) // with a body of its own
		if err != nil {
			return err
		}
		if kept != nil {
			tell(r, kept)
		}
	}
}

// toldDiverged returns what a server says of a diverged publisher, nil if the
// application knows.
func (s *Subscription) toldDiverged(m *wire.Message) *DivergedError {
	e := divergedError(m)
	if s.diverged[e.Publisher] {
		return nil
	}
	if s.diverged == nil {
		s.diverged = make(map[uint64]bool)
	}
	s.diverged[e.Publisher] = true
	return e
}
