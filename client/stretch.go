package client

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An arrival is a message that has come, by itself or in a stretch. It shares memory with
// the frame.
type arrival struct {
	bookmark                                   Bookmark
	time                                       time.Time
	topic, data, sowKey, correlationID, userID []byte
}

// size is what the message counts in a queue, in bytes.
func (a *arrival) size() int { return len(a.data) + messageOverhead }

// runMost is how many messages of a stretch are taken in at once: as many as a number has bits.
const runMost = 64

// An inbound is the reader's scratch for the messages that come.
type inbound struct {
	entry  wire.Entry
	run    [runMost]arrival
	routes []route // of a frame
}

// setMessage makes a the message of a delivery.
func (a *arrival) setMessage(m *wire.Message) (err error) {
	*a = arrival{topic: m.Topic, data: m.Body, sowKey: m.SOWKey, correlationID: m.CorrelationID, userID: m.UserID}
	if len(m.Timestamp) > 0 {
		a.time, _ = bookmark.ParseTime(m.Timestamp) // zero for what is none: it is for people
	}
	if len(m.Bookmark) > 0 {
		a.bookmark, err = bookmark.Parse(m.Bookmark)
	}
	return err
}

// setEntry makes a the message of an entry. The key in it is the publisher's, which
// deliveries do not bring.
func (a *arrival) setEntry(r *wire.Entry) {
	*a = arrival{
		bookmark: Bookmark{Publisher: r.Publisher, Sequence: r.Sequence},
		topic:    r.Topic, data: r.Body, correlationID: r.CorrelationID, userID: r.User,
	}
	if r.Time != 0 {
		a.time = time.UnixMicro(r.Time).UTC()
	}
}

// stretch hands the messages of a stretch, run by run, to each of those that they are for.
func (cn *conn) stretch(m *wire.Message) error {
	in := &cn.in.inbound
	routes := cn.lookUp(m.SubIDs)
	defer clear(routes)
	for rest := m.Body; len(rest) > 0; {
		n, behind, bad := in.takeRun(rest)
		for _, r := range routes {
			r.r.arrived(cn, r.id, in.run[:n])
		}
		if bad != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, bad)
		}
		rest = behind
	}
	return nil
}

// takeRun sets the beginning of run to the first messages of what is left of a stretch.
func (in *inbound) takeRun(stretch []byte) (n int, rest []byte, err error) {
	for rest = stretch; n < runMost; n++ {
		behind, more, err := wire.TakeEntry(rest, &in.entry)
		if err != nil || !more {
			return n, rest, err
		}
		in.run[n].setEntry(&in.entry)
		rest = behind
	}
	return n, rest, nil
}

// lookUp returns whom a comma list of ids belongs to, in scratch memory. Some may have
// ended.
func (cn *conn) lookUp(ids []byte) []route {
	in := &cn.in.inbound
	in.routes = in.routes[:0]
	cn.mu.Lock()
	defer cn.mu.Unlock()
	for len(ids) > 0 {
		id, rest, _ := bytes.Cut(ids, comma)
		ids = rest
		if r, is := cn.routes[string(bytes.TrimSpace(id))]; is {
			in.routes = append(in.routes, r)
		}
	}
	return in.routes
}

// arrived implements receiver.
func (q *query) arrived(_ *conn, _ string, run []arrival) {
	for i := range run {
		a := &run[i]
		q.push(&Reply{
			Kind: ReplyMessage, Topic: string(a.topic), Data: slices.Clone(a.data),
			CorrelationID: string(a.correlationID), Bookmark: a.bookmark, Time: a.time,
		})
	}
}
