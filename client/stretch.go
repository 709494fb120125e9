package client

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An arrival is a message that has arrived, alone or in a stretch. It shares memory with the frame.
type arrival struct {
	bookmark                                            Bookmark
	time                                                time.Time
	topic, body, sowKey, correlationID, userID, headers []byte
}

// size is the size of the message in a queue, in bytes.
func (a *arrival) size() int { return len(a.body) + len(a.headers) + messageOverhead }

// maxRun is the largest number of messages of a stretch that are handled together: one for each
// bit of a uint64.
const maxRun = 64

// An inbound is the reader's scratch memory for arriving messages.
type inbound struct {
	entry  wire.Entry
	run    [maxRun]arrival
	routes []route // routes of a frame
}

// setMessage sets a to the message of a delivery.
func (a *arrival) setMessage(m *wire.Message) (err error) {
	*a = arrival{topic: m.Topic, body: m.Body, sowKey: m.SOWKey, correlationID: m.CorrelationID, userID: m.UserID, headers: m.Headers}
	if _, err := pubstore.DecodeHeaders(m.Headers); err != nil {
		return err
	}
	if len(m.Timestamp) > 0 {
		a.time, _ = bookmark.ParseTime(m.Timestamp) // zero if invalid: only the application reads it
	}
	if len(m.Bookmark) > 0 {
		a.bookmark, err = bookmark.Parse(m.Bookmark)
	}
	return err
}

// setEntry sets a to the message of an entry. The key in the entry is the publisher's; deliveries
// do not carry it.
func (a *arrival) setEntry(r *wire.Entry) {
	*a = arrival{
		bookmark: Bookmark{Publisher: r.Publisher, Sequence: r.Sequence},
		topic:    r.Topic, body: r.Body, correlationID: r.CorrelationID, userID: r.User, headers: r.Headers,
	}
	if r.Time != 0 {
		a.time = time.UnixMicro(r.Time).UTC()
	}
}

// stretch passes the messages of a stretch, run by run, to each of their routes.
func (cn *conn) stretch(m *wire.Message) error {
	in := &cn.in.inbound
	routes := cn.findRoutes(m.SubIDs)
	defer clear(routes)
	for rest := m.Body; len(rest) > 0; {
		n, next, invalid := in.takeRun(rest)
		for _, r := range routes {
			r.receiver.handleRun(cn, r.id, in.run[:n])
		}
		if invalid != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, invalid)
		}
		rest = next
	}
	return nil
}

// takeRun sets the beginning of run to the first messages of a stretch, and returns the rest.
func (in *inbound) takeRun(stretch []byte) (n int, rest []byte, err error) {
	for rest = stretch; n < maxRun; n++ {
		next, more, err := wire.NextEntry(rest, &in.entry)
		if err != nil || !more {
			return n, rest, err
		}
		in.run[n].setEntry(&in.entry)
		rest = next
	}
	return n, rest, nil
}

// findRoutes returns the routes of a comma-separated list of ids, in scratch memory. It leaves out
// ids that have ended.
func (cn *conn) findRoutes(ids []byte) []route {
	in := &cn.in.inbound
	in.routes = in.routes[:0]
	cn.mu.Lock()
	defer cn.mu.Unlock()
	for len(ids) > 0 {
		id, rest, _ := bytes.Cut(ids, comma)
		ids = rest
		if r, ok := cn.routes[string(bytes.TrimSpace(id))]; ok {
			in.routes = append(in.routes, r)
		}
	}
	return in.routes
}

// handleRun implements receiver.
func (q *query) handleRun(_ *conn, _ string, run []arrival) {
	for i := range run {
		a := &run[i]
		q.push(&Reply{
			Kind: ReplyMessage, Topic: string(a.topic), Body: slices.Clone(a.body),
			CorrelationID: string(a.correlationID), Headers: cloneHeaders(a.headers), Bookmark: a.bookmark, Time: a.time,
		})
	}
}
