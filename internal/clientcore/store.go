package clientcore

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// Apply applies a logon ack to the store, and returns the sender for the connection. plain is
// true if the server lacks our extensions. The error is ErrFormerLifeDone if the store has
// nothing of the life to send: this ack let go of everything, or the store kept nothing of it at
// a Renew, perhaps after the logon. The error is ErrRolledBack if the store has begun a new
// life.
func (e *LogonEffect) Apply(store pubstore.Store, window Window, plain bool) (*Sender, error) {
	cursor, err := e.apply(store)
	switch {
	case errors.Is(err, pubstore.ErrUnknownLife):
		return nil, ErrFormerLifeDone
	case err != nil:
		return nil, err
	}
	return &Sender{
		window: window, store: store, cursor: cursor, plain: plain, replayTo: e.Life.Last,
		publisher: pubstore.PublisherOf(e.Life.ID), maxBatch: e.MaxBatch, noHeaders: e.DropHeaders,
	}, nil
}

func (e *LogonEffect) apply(store pubstore.Store) (pubstore.Cursor, error) {
	if e.RolledBack {
		if err := store.Renew(); err != nil {
			return nil, fmt.Errorf("renew the publish store after a rollback: %w", err)
		}
		return nil, ErrRolledBack
	}
	if e.PlainOffset != 0 {
		if err := store.SetPlainOffset(e.Life.ID, e.PlainOffset); err != nil {
			return nil, fmt.Errorf("store the plain offset of life %s: %w", e.Life.ID, err)
		}
	}
	if e.Clock != 0 { // must be durable before anything is sent
		if err := store.SetClock(e.Life.ID, e.Clock); err != nil {
			return nil, fmt.Errorf("store the group's clock: %w", err)
		}
	}
	if err := letGo(store, e.Life.ID, e.LetGo); err != nil {
		return nil, err
	}
	cursor, err := store.Cursor(e.Life.ID, e.startPlanted(store))
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
		return fmt.Errorf("let go of messages up to %d: %w", through, err)
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

// A Rejection is the rejection of one message by a server. It is reported to the application
// first. Then the store lets the message go, and Session.RejectionReported is called (G1).
type Rejection struct {
	Life     string
	Sequence uint64
	Reason   string // the server's text
	Err      error  // why the client cannot send the message; nil: a server has rejected it
}

// Message returns the message, or nil if the store no longer has it. Then there is nothing to
// report.
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

// LetGo makes the store let the message go, after the rejection was reported.
func (r *Rejection) LetGo(store pubstore.Store) error {
	if err := store.Reject(r.Life, r.Sequence); err != nil {
		return fmt.Errorf("let go of rejected message %d: %w", r.Sequence, err)
	}
	return nil
}
