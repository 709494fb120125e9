package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Reasons that this package tells from others.
const (
	reasonGap           = "publish gap"
	reasonNameInUse     = "name in use"
	reasonNotReplicated = "not replicated"
	reasonNotFound      = "bookmark not found"
)

func isNotKept(err error) bool { return errors.Is(err, pubstore.ErrNotKept) }

func failed(m *wire.Message) bool { return string(m.Status) == wire.StatusFailure }

// ack takes in an ack: of the session, of a command, or of publishes.
func (cn *conn) ack(m *wire.Message) error {
	if m.Acks == wire.AckProcessed && failed(m) && len(m.CommandID) == 0 {
		return refusal("session", string(m.Reason))
	}
	if m.Acks == wire.AckProcessed && len(m.Sync) > 0 && len(m.CommandID) == 0 {
		cn.sync.Store(uint32(parseSync(m.Sync)))
		cn.notify()
		return nil
	}
	id := m.CommandID
	if m.Acks&wire.AckPersisted != 0 && len(m.SubID) > 0 {
		id = m.SubID
	}
	if len(id) > 0 {
		if r, name := cn.route(id); r != nil {
			return r.ack(cn, name, m)
		}
	}
	if m.Acks&wire.AckPersisted != 0 && m.HasSequence {
		return cn.persisted(m)
	}
	return nil // of a command whose caller has left
}

// refusal is the error for a session that a server ends in words (R4, R11).
func refusal(command, reason string) error {
	switch {
	case strings.HasPrefix(reason, reasonGap):
		return ErrPublishGap
	case strings.HasPrefix(reason, reasonNameInUse):
		return ErrNameInUse
	}
	return &CommandError{Command: command, Reason: reason}
}

// persisted takes in an ack of publishes: cumulative if it is a success, of
// one message if it is a failure.
func (cn *conn) persisted(m *wire.Message) error {
	if failed(m) {
		return cn.rejected(m.Sequence, string(m.Reason))
	}
	o := cn.c.out
	o.mu.Lock()
	e := o.core.Persisted(m.Sequence, string(m.Level) == wire.LevelSingle)
	life := o.core.Life()
	o.mu.Unlock()

	if e.LetGo > 0 {
		if err := o.store.Discard(life, e.LetGo); err != nil {
			return fmt.Errorf("let go up to %d: %w", e.LetGo, err)
		}
	}
	if e.Single > 0 {
		o.store.Single(life, e.Single)
	}
	cn.after(e)
	return nil
}

// after wakes who waited for what an ack moved.
func (cn *conn) after(e clientcore.AckEffect) {
	if e.Moved {
		cn.c.out.wake()
		if cn.old.Load() {
			cn.notify() // it may be finished
		}
	}
	if e.Opened {
		cn.wakeSender()
	}
	if e.Degraded || e.Restored {
		cn.c.post(func() { cn.c.tellDowngraded(e.Degraded) })
	}
	if e.InSync && cn.former {
		cn.inSync.Store(true)
		cn.notify() // the former lives can be offered again
	}
}

// rejected has the failed-write handler told of one message, and lets it go
// then. It may be told again by the server until the store no longer has it.
func (cn *conn) rejected(sequence uint64, reason string) error {
	o := cn.c.out
	o.mu.Lock()
	n, ok := o.core.Reject(sequence)
	life := o.core.Life()
	o.mu.Unlock()
	if !ok {
		return nil
	}
	m, err := o.store.Get(life, n)
	if err != nil && !isNotKept(err) {
		return fmt.Errorf("read rejected message %d: %w", n, err)
	}
	if err != nil {
		cn.told(life, n)
		return nil
	}
	cn.c.post(func() {
		cn.c.failedWrite(&RejectedError{Life: life, Message: m, Reason: reason})
		cn.told(life, n)
	})
	return nil
}

// told notes that the application knows of a rejection.
func (cn *conn) told(life string, sequence uint64) {
	o := cn.c.out
	o.mu.Lock()
	_, opened := o.core.Told(life, sequence)
	o.mu.Unlock()
	cn.after(clientcore.AckEffect{Moved: true, Opened: opened})
}

// failedWrite tells the handler, and only then lets the message go (G1). It
// runs on the session goroutine.
func (c *Client) failedWrite(e *RejectedError) {
	c.cfg.Logger.Warn("message rejected", "sequence", e.Message.Sequence, "topic", e.Message.Topic, "reason", e.Reason)
	if hook := c.cfg.Hooks.FailedWrite; hook != nil {
		hook(e)
	}
	c.out.mu.Lock()
	c.out.stats.Rejected++
	c.out.mu.Unlock()
	if err := c.store.Reject(e.Life, e.Message.Sequence); err != nil {
		c.fail(fmt.Errorf("let go of rejected message %d: %w", e.Message.Sequence, err))
	}
}
