package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// headerRoom is the largest size of a publish's header without its texts, in bytes.
const headerRoom = 160

// Publish appends a message to the publish store and returns its sequence. From then on the message
// will be delivered once, whatever happens to connections and servers (G1). This also holds if the
// client is not connected at the moment and, with a store on disk, if the process is killed.
// Publish does not wait for a server; Flush does.
//
// At the store's bound Publish waits or returns pubstore.ErrFull, depending on the options of the
// store. If ctx ends the wait, the error wraps both pubstore.ErrFull and the error of ctx; if ctx
// has ended before, the error is that of ctx. If the message is too large for the server
// (ServerInfo.MaxMessage, or Config.MaxMessage if the server states no limit) or for the store, the
// error is a *TooLargeError. After Close or Drain has begun it is ErrClosed. An error always means
// that the message is not in the store, except for a *pubstore.FailedError.
//
// topic is literal, whatever characters it has, and must not be empty. The messages of a client
// reach the servers in the order of their sequences, which begin at 1 in each life of the store.
func (c *Client) Publish(ctx context.Context, topic string, body []byte) (sequence uint64, err error) {
	_, sequence, err = c.publish(ctx, topic, body)
	return sequence, err
}

func (c *Client) publish(ctx context.Context, topic string, body []byte) (publisher, sequence uint64, err error) {
	m := c.messages.Get().(*pubstore.Message)
	m.Topic, m.Body = topic, body
	sequence, err = c.PublishMessage(ctx, m)
	publisher = m.Publisher
	*m = pubstore.Message{} // release the caller's memory
	c.messages.Put(m)
	return publisher, sequence, err
}

// PublishMessage is Publish for a message with headers, a key, a correlation id, an expiration or a
// delta. It sets m.Publisher, m.Sequence and m.Time; m belongs to the caller again when it returns.
// holdfastd delivers headers and correlation id, ignores key and expiration, and rejects a delta
// (hook FailedWrite).
//
// The errors are those of Publish. In addition, the error is a *HeadersError if the headers exceed
// a limit. If the last server that the client logged on to lacks our extensions and does not take
// the headers or the correlation id, the error is an *UnsupportedError. If m.SOWKey has a character
// that is not base-64, or m.Expiration is not a whole number of seconds, the error names the field.
func (c *Client) PublishMessage(ctx context.Context, m *pubstore.Message) (sequence uint64, err error) {
	if c.cfg.Tracer != nil {
		return c.publishTraced(ctx, m)
	}
	return c.append(ctx, m)
}

// append checks a message and appends it to the store.
func (c *Client) append(ctx context.Context, m *pubstore.Message) (sequence uint64, err error) {
	if err := c.CheckMessage(m); err != nil {
		return 0, err
	}
	if err := c.enter(); err != nil {
		return 0, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	defer c.calls.leave()

	callCtx := c.newCallContext(ctx)
	defer c.releaseCallContext(callCtx)
	c.plantedSend(m)
	sequence, err = c.store.Append(callCtx, m)
	if err != nil {
		if c.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = c.closedError()
		}
		return 0, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	return sequence, nil
}

// CheckMessage returns the error with which Publish would refuse m before it uses the store: no
// topic, a *HeadersError, an *UnsupportedError, or a *TooLargeError because of the server's limit. Call it before you append to the store
// directly (pubstore.Bolt.AppendTx), because the store knows only its own limits.
func (c *Client) CheckMessage(m *pubstore.Message) error {
	if err := c.validateMessage(m); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// validateMessage refuses messages that a server would reject (R14).
func (c *Client) validateMessage(m *pubstore.Message) error {
	if m.Topic == "" {
		return errors.New("no topic")
	}
	if err := m.Headers.Err(); err != nil {
		return err
	}
	if c.plainServer.Load() {
		if err := clientcore.CheckPlain(m, c.cfg.DropHeaders); err != nil {
			return err
		}
	}
	header := m.HeaderSize()
	if header > pubstore.MaxHeader {
		return &TooLargeError{Size: header, Max: pubstore.MaxHeader, Header: true}
	}
	if size, limit := header+headerRoom+len(m.Body), int(c.maxMessage.Load()); size > limit {
		setting := "Config.MaxMessage"
		if c.maxFromServer.Load() {
			setting = "the server's"
		}
		return &TooLargeError{Size: size, Max: limit, Setting: setting}
	}
	return nil
}

// RenewLife begins a new life of the publish store: a new publisher, whose messages are numbered
// from 1. It is for an application that cannot wait until a publish gap has ended (ErrPublishGap).
// The messages of the former life are still delivered as soon as a server accepts them, but may
// come after messages that are published from now on. The error is ErrClosed, or that of the store.
func (c *Client) RenewLife() error {
	if err := c.enter(); err != nil {
		return fmt.Errorf("renew the life of the publish store: %w", err)
	}
	defer c.calls.leave()
	if err := c.store.Renew(); err != nil {
		return fmt.Errorf("renew the life of the publish store: %w", err)
	}
	if cn := c.connected(); cn != nil {
		lives := c.store.Lives()
		c.core.do(func(s *clientcore.Session) { s.UpdateLives(lives) })
		cn.out.Wake()
	}
	return nil
}
