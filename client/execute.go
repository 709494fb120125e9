package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Command is a command of the protocol for which the client has no method. A server that does not
// support it refuses it with a *CommandError. holdfastd supports only subscribe and flush. It
// refuses a subscribe with a filter, TopN or a range of bookmarks.
type Command struct {
	// Name is the command's name on the wire: subscribe, delta_subscribe, sow, sow_and_subscribe,
	// sow_and_delta_subscribe, sow_delete or flush.
	Name string

	Topic     string // topic or pattern, as for Subscribe
	Filter    string // content filter in the server's language
	Options   string // comma-separated list, as on the wire
	OrderBy   string
	SOWKeys   string // comma-separated list
	Bookmark  string // as on the wire: 0, 0|1|, a comma-separated list, or a time as 20060102T150405Z
	BatchSize uint64 // records in one frame of a result; 0: the server decides
	TopN      uint64 // largest number of records in a result; 0: unlimited
	Body      []byte // body of a sow_delete
}

// A ReplyKind is the kind of a reply to a command.
type ReplyKind int

const (
	ReplyAck        ReplyKind = iota // an ack; AckType says which
	ReplyRecord                      // a record in the result of a query
	ReplyMessage                     // a message of a subscription
	ReplyOutOfFocus                  // a record that no longer matches
	ReplyGroupBegin                  // the result begins
	ReplyGroupEnd                    // the result has ended
)

// A Reply is one of the answers to a command.
type Reply struct {
	Kind    ReplyKind
	AckType string // processed, completed, stats, …
	Reason  string // in an ack or an out-of-focus message

	Topic         string
	Body          []byte
	SOWKey        string
	CorrelationID string
	Headers       Headers
	Bookmark      Bookmark
	Time          time.Time

	// Counts in stats acks.
	Matches, TopicMatches, RecordsReturned, RecordsDeleted uint64
}

// Execute returns the replies to a command. It sends the command when the loop begins, and again
// for each further loop over the result. It waits for a connection if there is none. The loop ends
// after the last reply. A command that subscribes has no last reply: leave the loop to end the
// subscription.
//
// Unlike Subscribe and Publish, a command does not continue on another connection. The loop ends
// with one error if the command cannot be completed:
//
//   - *CommandError: the server refuses the command.
//   - ErrTimeout: the server sends nothing within Config.CommandTimeout.
//   - *FrameTooLargeError: a reply is longer than Config.MaxFrame.
//   - ErrDisconnected: the connection is lost.
//   - ErrSlowConsumer: the queue of replies is full.
//   - ErrClosed: the client is closed.
//   - The error of ctx, when that ends.
//   - Another error: Command.Name is not one of the names that it lists.
func (c *Client) Execute(ctx context.Context, cmd Command) iter.Seq2[*Reply, error] {
	return func(yield func(*Reply, error) bool) {
		q, err := c.sendCommand(ctx, cmd)
		if err == nil {
			defer q.stop()
			err = q.each(ctx, func(r *Reply) bool { return yield(r, nil) })
		}
		if err != nil && !errors.Is(err, errUnsubscribed) {
			yield(nil, withOperation(cmd.Name, err))
		}
	}
}

// sendCommand sends a command.
func (c *Client) sendCommand(ctx context.Context, cmd Command) (*query, error) {
	last, endless, ok := shape(wire.ParseCommand([]byte(cmd.Name)))
	if !ok {
		return nil, errors.New("Execute does not send this command")
	}
	for {
		cn, err := c.awaitConnected(ctx)
		if err != nil {
			return nil, err
		}
		q := &query{c: c, cmd: cmd, cn: cn, id: c.newID(), lastAck: last, endless: endless, ready: signal.New()}
		if cn.request(q.id, q, q.encode) {
			return q, nil
		}
	}
}

// shape returns the ack that ends a command's replies. endless reports whether the command runs
// until the client ends it. ok is false if Execute does not send the command.
func shape(c wire.Command) (last wire.AckType, endless, ok bool) {
	switch c {
	case wire.Subscribe, wire.DeltaSubscribe, wire.SOWAndSubscribe, wire.SOWAndDeltaSubscribe:
		return wire.AckProcessed, true, true
	case wire.SOW, wire.Flush:
		return wire.AckCompleted, false, true
	case wire.SOWDelete:
		return wire.AckStats, false, true
	}
	return 0, false, false
}

// awaitConnected waits for a connection and returns it.
func (c *Client) awaitConnected(ctx context.Context) (*conn, error) {
	for {
		c.mu.Lock()
		cn := c.cn
		if c.connReady == nil {
			c.connReady = make(chan struct{})
		}
		ready := c.connReady
		c.mu.Unlock()
		if cn != nil {
			return cn, nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-c.finished:
			return nil, c.closedError()
		}
	}
}

// A query is a command under way.
type query struct {
	c       *Client
	cmd     Command
	cn      *conn
	id      string
	lastAck wire.AckType
	endless bool

	ready signal.Signal // set when there is a reply or the end

	mu       sync.Mutex
	replies  []*Reply // guarded by mu
	bytes    int      // size of replies; guarded by mu
	answered bool     // an answer has arrived; guarded by mu
	endErr   error    // guarded by mu
}

func (q *query) encode(dst []byte) []byte {
	command := wire.ParseCommand([]byte(q.cmd.Name))
	acks := wire.AckProcessed | q.lastAck
	if command == wire.Flush {
		cmd := wire.FlushCommand{CommandID: q.id, Acks: acks}
		return cmd.AppendTo(dst)
	}
	cmd := wire.SubscribeCommand{
		Command: command, CommandID: q.id, Topic: q.cmd.Topic, Bookmark: q.cmd.Bookmark,
		Filter: q.cmd.Filter, Options: q.cmd.Options, OrderBy: q.cmd.OrderBy, SOWKeys: q.cmd.SOWKeys,
		BatchSize: q.cmd.BatchSize, TopN: q.cmd.TopN, Acks: acks, Body: q.cmd.Body,
	}
	if q.endless {
		cmd.SubID = q.id
	}
	if command != wire.Subscribe && command != wire.DeltaSubscribe && command != wire.SOWDelete {
		cmd.QueryID = q.id
	}
	return cmd.AppendTo(dst)
}

// each calls yield for each reply. It returns nil if yield returned false, and errUnsubscribed
// after the last reply.
func (q *query) each(ctx context.Context, yield func(*Reply) bool) error {
	timeout := time.NewTimer(q.c.cfg.CommandTimeout)
	defer timeout.Stop()
	for {
		replies, err := q.takeReplies()
		for _, r := range replies {
			if !yield(r) {
				return nil
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout.C:
			if !withLock(&q.mu, func() bool { return q.answered }) {
				return ErrTimeout
			}
		}
	}
}

func (q *query) takeReplies() ([]*Reply, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	replies := q.replies
	q.replies, q.bytes = nil, 0
	return replies, q.endErr
}

// stop ends the command on the server, if it still runs there.
func (q *query) stop() {
	if q.end(errUnsubscribed) || q.endless {
		u := wire.UnsubscribeCommand{QueryID: q.id}
		if q.endless {
			u.SubID = q.id
		}
		q.cn.unsubscribe(q.id, u)
	}
}

// end ends the query with err. It reports whether the query still ran.
func (q *query) end(err error) bool {
	q.mu.Lock()
	running := q.endErr == nil
	if running {
		q.endErr = err
	}
	q.mu.Unlock()
	q.ready.Set()
	return running
}

// connLost implements receiver.
func (q *query) connLost(_ *conn, err error) {
	if errors.Is(err, ErrClosed) {
		q.end(q.c.closedError())
		return
	}
	q.end(fmt.Errorf("%w: %w", ErrDisconnected, err))
}

// handleAck implements receiver.
func (q *query) handleAck(cn *conn, id string, m *wire.Message) error {
	if m.Failed() {
		cn.removeRoute(id)
		q.end(&CommandError{Command: q.cmd.Name, Topic: q.cmd.Topic, Bookmark: q.cmd.Bookmark, Reason: string(m.Reason)})
		return nil
	}
	b, _ := bookmark.Parse(m.Bookmark) // usually empty
	q.push(&Reply{
		Kind:            ReplyAck,
		AckType:         m.Acks.String(),
		Reason:          string(m.Reason),
		Bookmark:        b,
		Matches:         m.Matches,
		TopicMatches:    m.TopicMatches,
		RecordsReturned: m.RecordsReturned,
		RecordsDeleted:  m.RecordsDeleted,
	})
	if !q.endless && m.Acks&q.lastAck != 0 {
		cn.removeRoute(id)
		q.end(errUnsubscribed)
	}
	return nil
}

// handleMessage implements receiver.
func (q *query) handleMessage(_ *conn, _ string, m *wire.Message, tooLarge *FrameTooLargeError) error {
	if tooLarge != nil {
		q.end(tooLarge)
		return nil
	}
	switch m.Command {
	case wire.GroupBegin:
		q.push(&Reply{Kind: ReplyGroupBegin})
	case wire.GroupEnd:
		q.push(&Reply{Kind: ReplyGroupEnd})
	case wire.OOF:
		q.push(reply(ReplyOutOfFocus, m))
	case wire.SOW:
		return q.pushRecords(m)
	default:
		q.push(reply(ReplyMessage, m))
	}
	return nil
}

// pushRecords splits a frame into its records.
func (q *query) pushRecords(m *wire.Message) error {
	var rec wire.Message
	for body := m.Body; len(body) > 0; {
		rest, err := wire.NextRecord(body, m, &rec)
		if err != nil {
			return fmt.Errorf("%w: records of %s: %w", ErrProtocol, q.cmd.Name, err)
		}
		q.push(reply(ReplyRecord, &rec))
		body = rest
	}
	return nil
}

// reply converts a message to a Reply. An invalid bookmark or time is left out.
func reply(kind ReplyKind, m *wire.Message) *Reply {
	b, _ := bookmark.Parse(m.Bookmark)
	t, _ := bookmark.ParseTime(m.Timestamp)
	return &Reply{
		Kind:          kind,
		Reason:        string(m.Reason),
		Topic:         string(m.Topic),
		Body:          slices.Clone(m.Body),
		SOWKey:        string(m.SOWKey),
		CorrelationID: string(m.CorrelationID),
		Headers:       cloneHeaders(m.Headers),
		Bookmark:      b,
		Time:          t,
	}
}

// cloneHeaders returns the encoded headers of a message. Invalid ones are left out.
func cloneHeaders(encoded []byte) Headers {
	h, _ := pubstore.DecodeHeaders(slices.Clone(encoded))
	return h
}

// push queues a reply. If the queue is full the command ends, because the reader does not wait
// (R12). The limit is the same as for a subscription with SlowBlock.
func (q *query) push(r *Reply) {
	size := len(r.Body) + messageOverhead
	q.mu.Lock()
	q.answered = true
	full := len(q.replies) > 0 && (q.bytes+size > blockFactor*q.c.cfg.QueueBytes || len(q.replies) >= blockFactor*q.c.cfg.QueueMessages)
	if !full && q.endErr == nil {
		q.replies = append(q.replies, r)
		q.bytes += size
	}
	q.mu.Unlock()
	if full {
		q.end(ErrSlowConsumer)
		return
	}
	q.ready.Set()
}
