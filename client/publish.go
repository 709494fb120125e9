package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// headerRoom is what a publish has of header beside its texts, at most.
const headerRoom = 160

// Publish hands a message to the publish store and returns its sequence. From
// then on it is delivered, once, whatever happens to connections and servers
// (G1): also if the client is not connected at the moment, and, with a store
// on disk, if the process is killed. Publish does not wait for a server;
// Flush does.
//
// At the store's bound Publish waits or returns pubstore.ErrFull, as the store
// was opened. If ctx ends the wait, the error is both pubstore.ErrFull and that
// of ctx. A message that is too large for the server (ServerInfo.MaxMessage,
// or Config.MaxMessage if it does not say) or for the store is a *TooLargeError, and
// after Close or Drain has begun the error is ErrClosed. An error always means
// that the message is not in the store, except for a *pubstore.FailedError.
//
// topic is literal, whatever characters it has, and not empty. Messages of one
// client reach the servers in the order of their sequences, which begin at 1
// in each life of the store.
func (c *Client) Publish(ctx context.Context, topic string, body []byte) (sequence uint64, err error) {
	_, sequence, err = c.publish(ctx, topic, body)
	return sequence, err
}

func (c *Client) publish(ctx context.Context, topic string, body []byte) (publisher, sequence uint64, err error) {
	m := c.messages.Get().(*pubstore.Message)
	m.Topic, m.Body = topic, body
	sequence, err = c.PublishMessage(ctx, m)
	publisher = m.Publisher
	*m = pubstore.Message{} // it holds on to nothing of the caller's
	c.messages.Put(m)
	return publisher, sequence, err
}

// PublishMessage is Publish for a message with a key, a correlation id, an
// expiration, or a delta. It sets m.Publisher, m.Sequence and m.Time. The server holdfastd
// delivers the correlation id, makes no use of key and expiration, and rejects a
// delta (hook FailedWrite).
func (c *Client) PublishMessage(ctx context.Context, m *pubstore.Message) (sequence uint64, err error) {
	if err := c.Check(m); err != nil {
		return 0, err
	}
	if err := c.enter(); err != nil {
		return 0, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	defer c.calls.leave()

	until := c.until(ctx)
	defer c.over(until)
	c.sendPlanted(m)
	sequence, err = c.store.Append(until, m)
	if err != nil {
		if c.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = c.closedError()
		}
		return 0, fmt.Errorf("publish to %q: %w", m.Topic, err)
	}
	return sequence, nil
}

// Check returns why Publish would refuse m before it looks at the store: no topic,
// or a *TooLargeError by what the server has said. It is for who appends to the
// store directly (pubstore.Bolt.AppendTx), which knows the store's own limits only.
func (c *Client) Check(m *pubstore.Message) error {
	if err := c.checkMessage(m); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// checkMessage refuses what a server would reject (R14).
func (c *Client) checkMessage(m *pubstore.Message) error {
	if m.Topic == "" {
		return errors.New("no topic")
	}
	header := m.HeaderSize()
	if header > pubstore.MaxHeader {
		return &TooLargeError{Size: header, Max: pubstore.MaxHeader, Header: true}
	}
	if size, most := header+headerRoom+len(m.Body), int(c.maxMessage.Load()); size > most {
		limit := "Config.MaxMessage"
		if c.saysMax.Load() {
			limit = "the server's"
		}
		return &TooLargeError{Size: size, Max: most, Limit: limit}
	}
	return nil
}

// Renew begins a new life of the publish store, which is a new publisher
// (R10), for an application that will not wait until a publish gap has ended
// (R4). What is kept of the former life is still delivered, as soon as a
// server takes it, but may come after what is published from now on.
func (c *Client) Renew() error {
	if err := c.enter(); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	defer c.calls.leave()
	if err := c.store.Renew(); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if cn := c.connected(); cn != nil {
		lives := c.store.Lives()
		c.core.do(func(s *clientcore.Session) { s.Lives(lives) })
		cn.out.Wake()
	}
	return nil
}
