package clientcore

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// Apply applies a logon ack to the store, and returns the sender for the connection. plain
// means that the server lacks our extensions. The error is ErrFormerLifeDone if the store has nothing
// to send of the life: this ack let go of all of it, or the store kept nothing of it at a
// Renew, perhaps after the logon. The error is ErrRolledBack if the store has begun a new life.
func (b *LogonEffect) Apply(store pubstore.Store, window Window, plain bool) (*Sender, error) {
	cursor, err := b.apply(store)
	switch {
	case errors.Is(err, pubstore.ErrUnknownLife):
		return nil, ErrFormerLifeDone
	case err != nil:
		return nil, err
	}
	return &Sender{
		window: window, store: store, cursor: cursor, plain: plain, replayTo: b.Life.Last,
		publisher: pubstore.PublisherOf(b.Life.ID), maxBatch: b.MaxBatch,
	}, nil
}

func (b *LogonEffect) apply(store pubstore.Store) (pubstore.Cursor, error) {
	if b.RolledBack {
		if err := store.Renew(); err != nil {
			return nil, fmt.Errorf("renew a store that was rolled back: %w", err)
		}
		return nil, ErrRolledBack
	}
	if b.Base != 0 {
		if err := store.SetPlainOffset(b.Life.ID, b.Base); err != nil {
			return nil, fmt.Errorf("keep the base of life %s: %w", b.Life.ID, err)
		}
	}
	if b.Clock != 0 { // must be durable before anything is sent
		if err := store.SetClock(b.Life.ID, b.Clock); err != nil {
			return nil, fmt.Errorf("keep the group's clock: %w", err)
		}
	}
	if err := letGo(store, b.Life.ID, b.LetGo); err != nil {
		return nil, err
	}
	cursor, err := store.Cursor(b.Life.ID, b.startPlanted(store))
	if err != nil {
		return nil, fmt.Errorf("read publish store: %w", err)
	}
	return cursor, nil
}

func letGo(store pubstore.Store, life string, through uint64) error {
	if through == 0 {
		return nil
	}
	if err := store.Discard(life, through); err != nil {
		return fmt.Errorf("let go up to %d: %w", through, err)
	}
	return nil
}

// Apply applies an ack to the store.
func (e *AckEffect) Apply(store pubstore.Store) error {
	if err := letGo(store, e.Life, e.LetGo); err != nil {
		return err
	}
	if e.Single > 0 {
		store.SetSingle(e.Life, e.Single)
	}
	return nil
}

// A Rejection is the rejection of one message by a server. First the application is told, then
// the store lets the message go, and then Session.RejectionReported is called (G1).
type Rejection struct {
	Life     string
	Sequence uint64
	Reason   string // the server's text
}

// Message returns the message, or nil if the store no longer has it. In that case the
// application need not be told.
func (r *Rejection) Message(store pubstore.Store) (*pubstore.Message, error) {
	m, err := store.Get(r.Life, r.Sequence)
	switch {
	case errors.Is(err, pubstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read rejected message %d: %w", r.Sequence, err)
	}
	return m, nil
}

// LetGo has the store let the message go, after the application was told.
func (r *Rejection) LetGo(store pubstore.Store) error {
	if err := store.Reject(r.Life, r.Sequence); err != nil {
		return fmt.Errorf("let go of rejected message %d: %w", r.Sequence, err)
	}
	return nil
}
