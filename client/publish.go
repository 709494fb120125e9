package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
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
// before the first logon 16 MiB) or for the store is a *TooLargeError, and
// after Close or Drain has begun the error is ErrClosed. An error always means
// that the message is not in the store, except for a *pubstore.FailedError.
//
// topic is literal, whatever characters it has, and not empty. Messages of one
// client reach the servers in the order of their sequences, which begin at 1
// in each life of the store.
func (c *Client) Publish(ctx context.Context, topic string, body []byte) (sequence uint64, err error) {
	m, reused := c.messages.Get().(*pubstore.Message)
	if !reused {
		m = new(pubstore.Message)
	}
	m.Topic, m.Body = topic, body
	sequence, err = c.PublishMessage(ctx, m)
	*m = pubstore.Message{} // it holds on to nothing of the caller's
	c.messages.Put(m)
	return sequence, err
}

// PublishMessage is Publish for a message with a key, a correlation id, an
// expiration, or a delta. It sets m.Sequence and m.Time. The server holdfastd
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
	if mut.On(mut.G1SendBeforeStore) {
		c.sendUnkept(m)
	}
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
		return &TooLargeError{Size: size, Max: most}
	}
	return nil
}

// sendUnkept is a planted bug: it puts a message on the wire that the store
// does not have yet.
func (c *Client) sendUnkept(m *pubstore.Message) {
	cn := c.connected()
	lives := c.store.Lives()
	if cn == nil || len(lives) == 0 {
		return
	}
	p := wire.PublishCommand{Topic: m.Topic, Sequence: lives[len(lives)-1].Last + 1, Body: m.Body}
	cn.control(p.AppendTo)
}

// An outbox is what the sender of a connection, its reader and the
// application share of publishing.
type outbox struct {
	store pubstore.Store

	mu      sync.Mutex
	core    *clientcore.Publisher // guarded by mu
	changed chan struct{}         // closed when a Flush may be done; nil: nobody waits; guarded by mu
	stats   PublishStats          // guarded by mu; the counters only
}

// watch returns a channel that is closed when a Flush may be done.
func (o *outbox) watch() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

// wake wakes all that watch.
func (o *outbox) wake() {
	o.mu.Lock()
	watched := o.changed != nil
	if watched {
		close(o.changed)
		o.changed = nil
	}
	o.mu.Unlock()
	if watched {
		runtime.Gosched() // they first: who wakes them has nothing urgent to do
	}
}

func (o *outbox) expect(l pubstore.Life, old bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Expect(l, old)
}

// begin takes in a logon ack and lets go of what it says is safe.
func (o *outbox) begin(l pubstore.Life, a clientcore.LogonAnswer) (clientcore.Beginning, error) {
	o.mu.Lock()
	b := o.core.Begin(l, a)
	o.mu.Unlock()
	if b.Gap {
		return b, nil
	}
	if b.Base != 0 {
		if err := o.store.SetBase(l.ID, b.Base); err != nil {
			return b, fmt.Errorf("keep the base of life %s: %w", l.ID, err)
		}
	}
	if b.LetGo > 0 {
		if err := o.store.Discard(l.ID, b.LetGo); err != nil {
			return b, fmt.Errorf("let go up to %d: %w", b.LetGo, err)
		}
	}
	o.wake()
	return b, nil
}

func (o *outbox) nameInUse() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.NameInUse()
}

func (o *outbox) room() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Room()
}

// write notes that a message is about to be sent. room says whether another
// may follow it.
func (o *outbox) write(sequence uint64, bytes int) (wire uint64, again, room bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wire, again = o.core.Write(sequence, bytes)
	o.stats.Sent++
	if again {
		o.stats.Resent++
	}
	return wire, again, o.core.Room()
}

func (o *outbox) exhausted() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Exhausted()
}

func (o *outbox) finished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Finished()
}

func (o *outbox) renewed(life string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.core.Life() == life {
		o.core.Renewed()
	}
}

func (o *outbox) forget() {
	lives := o.store.Lives()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Forget(lives)
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
		cn.checkLife()
		cn.wakeSender()
	}
	return nil
}

// clock returns the time as a base for sequences is chosen from it.
func clock() uint64 { return uint64(max(time.Now().UnixMicro(), 1)) }
