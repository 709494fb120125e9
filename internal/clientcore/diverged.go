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

// A DivergedError reports that the servers have, or may have, different contents under one
// number of a publisher (R11). The cause is a copied store or a forger.
type DivergedError struct {
	Publisher uint64 // 0: the server does not name it
	From      uint64 // its first number that is not proven equal on all servers
}

func (e *DivergedError) Error() string {
	if e.Publisher == 0 {
		return ErrDiverged.Error()
	}
	return fmt.Sprintf("publisher %d has diverged: from its message %d on, servers may have different contents", e.Publisher, e.From)
}

func (e *DivergedError) Unwrap() error { return ErrDiverged }

// divergedError returns the error for an ack with the reason "publisher diverged".
func divergedError(m *wire.Message) *DivergedError {
	b, err := bookmark.Parse(m.Bookmark)
	if err != nil {
		return &DivergedError{}
	}
	return &DivergedError{Publisher: b.Publisher, From: b.Sequence}
}

// Apply gives up the messages that the store keeps of the life GiveUp. It calls report for each
// of them, in order. report has to report the unknown outcome to the application, and then make
// the store let go of the message. The outcome is unknown for all of them, also below
// DivergedError.From: the servers agree on those numbers, but another copy of the store may have
// sent the messages under them.
func (e *EndEffect) Apply(store pubstore.Store, report func(*Rejection, *pubstore.Message)) error {
	if e.GiveUp == "" {
		return nil
	}
	all := pubstore.Range{From: 1, To: bookmark.MaxSequence}
	return reportKept(store, Rejection{Life: e.GiveUp, Reason: wire.ReasonOutcomeUnknown}, all, report)
}

// reportKept calls report, in order, for each message of a range that the store keeps. The
// rejections have the life and the reason of as.
func reportKept(store pubstore.Store, as Rejection, span pubstore.Range, report func(*Rejection, *pubstore.Message)) error {
	cursor, err := store.Cursor(as.Life, span.From-1)
	if errors.Is(err, pubstore.ErrUnknownLife) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read publish store: %w", err)
	}
	defer cursor.Close()
	var m pubstore.Message
	for {
		more, err := cursor.Next(&m)
		if err != nil || !more || m.Sequence > span.To {
			return err
		}
		r := &Rejection{Life: as.Life, Sequence: m.Sequence, Reason: as.Reason}
		kept, err := r.Message(store) // with a copy of the body
		if err != nil {
			return err
		}
		if kept != nil {
			report(r, kept)
		}
	}
}

// newlyDiverged returns the error for a publisher that a server reports as diverged, or nil if
// this was reported to the application before.
func (s *Subscription) newlyDiverged(m *wire.Message) *DivergedError {
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
