package client

import (
	"context"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Tracer connects messages with the traces of an application (Config.Tracer). A trace follows a
// message through its headers, for example traceparent and tracestate of W3C Trace Context: the
// store of the publisher keeps them, so the trace is the same on whichever server the message is
// delivered, and after a restart of the publisher. Headers has the methods of a carrier of
// OpenTelemetry.
//
// The client calls the methods from several goroutines, also concurrently. They must not block, and
// must not keep m or its memory. Without a Tracer tracing costs nothing.
type Tracer interface {
	// StartPublish is called when Publish or PublishMessage begins. It may set headers of m, which
	// are stored with the message and removed from m when the call returns. end is called when the
	// call returns: with nil once the message is in the store, and m.Publisher and m.Sequence are
	// set, otherwise with the error. Sent and even Acked may be called for the message before. end
	// may be nil. A message that only these headers make too large is stored without them. An
	// application that appends to its store directly (pubstore.Bolt.AppendTx) calls StartPublish
	// itself.
	StartPublish(ctx context.Context, m *pubstore.Message) (end func(err error))

	// Sent is called when messages with the sequences from first to last of a publisher are about
	// to be written to the connection to a server, each time that they are. The first resent of
	// them may have been sent before. server is ServerInfo.Server.
	Sent(server string, publisher, first, last uint64, resent int)

	// Acked is called when a publisher's messages up to a sequence are safe, or with safe false
	// when one server has acknowledged them while its peer was away. A call may repeat an earlier
	// one, or have a lower sequence. A rejected message counts as acknowledged, too, after Rejected.
	Acked(publisher, through uint64, safe bool)

	// Rejected is called before the hook FailedWrite, with the same error.
	Rejected(err *RejectedError)

	// StartHandle is called before Handle calls the application's function, for each try. The
	// context that it returns is m.Context during the call. end is called with the function's
	// error. It may be nil. An application that reads Messages calls StartHandle itself.
	StartHandle(ctx context.Context, m *Message) (handle context.Context, end func(err error))
}

// errPanicked is the error of a traced function that did not return.
var errPanicked = errors.New("the function panicked")

// call calls the function of Handle.
func (s *Subscription) call(ctx context.Context, m *Message, f func(*Message) error) (err error) {
	m.ctx = ctx
	t := s.c.cfg.Tracer
	if t == nil {
		return f(m)
	}
	traced, end := t.StartHandle(ctx, m)
	m.ctx = traced
	if end != nil {
		err = errPanicked
		defer func() { end(err) }()
	}
	err = f(m)
	return err
}

// publishTraced is PublishMessage with a Tracer.
func (c *Client) publishTraced(ctx context.Context, m *pubstore.Message) (sequence uint64, err error) {
	headers := m.Headers
	end := c.cfg.Tracer.StartPublish(ctx, m)
	sequence, err = c.append(ctx, m)
	if tooLarge := (*TooLargeError)(nil); m.Headers.Size() > headers.Size() && errors.As(err, &tooLarge) {
		m.Headers = headers // the message fits without its trace
		sequence, err = c.append(ctx, m)
	}
	if end != nil {
		end(err)
	}
	m.Headers = headers
	return sequence, err
}

// traceSent tells the tracer of messages that are about to be sent.
func (cn *conn) traceSent(first uint64, n, resent int) {
	if t := cn.c.cfg.Tracer; t != nil && n > 0 {
		t.Sent(cn.info.Server, cn.publisher, first, first+uint64(n)-1, resent)
	}
}

// traceAcked tells the tracer of acks.
func (c *Client) traceAcked(e *clientcore.AckEffect) {
	t := c.cfg.Tracer
	if t == nil {
		return
	}
	publisher := pubstore.PublisherOf(e.Life)
	if e.Single > 0 {
		t.Acked(publisher, e.Single, false)
	}
	if e.LetGo > 0 {
		t.Acked(publisher, e.LetGo, true)
	}
}
