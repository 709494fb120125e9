package otel

import (
	"context"
	"net"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A published is a message whose span waits for the servers.
type published struct {
	publisher, sequence uint64

	span   trace.Span
	ctx    context.Context // with the span, for its children
	topic  string
	began  time.Time
	send   trace.Span // the present sending; nil: none, or it was acknowledged
	single bool       // one server has acknowledged the message
}

// end ends the span and its sending.
func (p *published) end(at time.Time, outcome string) {
	if outcome == outcomePending && p.single {
		outcome = outcomeSingle
	}
	p.endSending(at, "")
	p.span.SetAttributes(outcomeKey.String(outcome))
	p.span.End(trace.WithTimestamp(at))
}

// endSending ends the present sending. failure says why it had no success; empty: it had, or nobody
// knows.
func (p *published) endSending(at time.Time, failure string) {
	if p.send == nil {
		return
	}
	if failure != "" {
		p.send.SetStatus(codes.Error, failure)
	}
	p.send.End(trace.WithTimestamp(at))
	p.send = nil
}

// A sending is a call of Sent.
type sending struct {
	server                 []attribute.KeyValue
	publisher, first, last uint64
	resent                 int
	at                     time.Time
}

func (s *sending) has(p *published) bool {
	return s.publisher == p.publisher && s.first <= p.sequence && p.sequence <= s.last
}

// begin begins the span of sending a message.
func (s *sending) begin(tracer trace.Tracer, p *published) {
	p.endSending(s.at, "no acknowledgement: the message was sent again")
	_, p.send = tracer.Start(p.ctx, "send "+p.topic, trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(s.at),
		trace.WithAttributes(system, semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"),
			semconv.MessagingDestinationName(p.topic), attribute.Bool("holdfast.resent", p.sequence < s.first+uint64(s.resent))),
		trace.WithAttributes(s.server...))
}

// An ack is the highest sequence of a publisher that was acknowledged as safe or as single.
type ack struct{ publisher, safe, single uint64 }

// A rejection is a call of Rejected.
type rejection struct {
	publisher, sequence uint64
	reason              string
	at                  time.Time
}

// maxRecent is the number of sendings, and of rejections, that are kept for messages whose Publish
// has not returned.
const maxRecent = 16

// A table has the messages whose spans wait. A message may be sent and acknowledged or rejected
// before its Publish has returned, so the table also keeps the latest sendings and rejections and
// the latest ack.
type table struct {
	lives   map[uint64][]*published // by publisher, in the order of sequences
	waiting int                     // number of messages in lives

	recent     [maxRecent]sending   // the latest sendings, a ring
	sends      int                  // number of sendings
	rejections [maxRecent]rejection // the latest rejections of messages that were not in lives, a ring
	rejects    int                  // number of these rejections
	lastAck    ack
}

func newTable() table { return table{lives: make(map[uint64][]*published)} }

// add adds a message that is stored.
func (t *table) add(tracer trace.Tracer, p *published) {
	for i := range min(t.sends, maxRecent) {
		if s := &t.recent[(max(t.sends-maxRecent, 0)+i)%maxRecent]; s.has(p) {
			s.begin(tracer, p)
		}
	}
	list := t.lives[p.publisher]
	i, _ := search(list, p.sequence)
	t.lives[p.publisher] = slices.Insert(list, i, p)
	t.waiting++
	for _, r := range t.rejections {
		if r.publisher == p.publisher && r.sequence == p.sequence {
			t.reject(i, &r)
			return
		}
	}
	if a, now := t.lastAck, time.Now(); a.publisher == p.publisher {
		t.acked(p.publisher, a.single, false, now)
		t.acked(p.publisher, a.safe, true, now)
	}
}

func search(list []*published, sequence uint64) (i int, found bool) {
	return slices.BinarySearchFunc(list, sequence, func(p *published, sequence uint64) int {
		switch {
		case p.sequence < sequence:
			return -1
		case p.sequence > sequence:
			return 1
		}
		return 0
	})
}

// sent begins the spans of a sending.
func (t *table) sent(tracer trace.Tracer, s sending) {
	t.recent[t.sends%maxRecent] = s
	t.sends++
	list := t.lives[s.publisher]
	from, _ := search(list, s.first)
	for _, p := range list[from:] {
		if p.sequence > s.last {
			break
		}
		s.begin(tracer, p)
	}
}

// acked applies an ack.
func (t *table) acked(publisher, through uint64, safe bool, at time.Time) {
	if t.lastAck.publisher != publisher {
		t.lastAck = ack{publisher: publisher}
	}
	list := t.lives[publisher]
	n, found := search(list, through)
	if found {
		n++
	}
	if !safe {
		t.lastAck.single = max(t.lastAck.single, through)
		for _, p := range list[:n] {
			if !p.single {
				p.single = true
				p.endSending(at, "")
				p.span.AddEvent("single", trace.WithTimestamp(at))
			}
		}
		return
	}
	t.lastAck.safe = max(t.lastAck.safe, through)
	for _, p := range list[:n] {
		p.span.AddEvent("safe", trace.WithTimestamp(at))
		p.end(at, outcomeSafe)
	}
	t.remove(publisher, 0, n)
}

// remove removes messages of a publisher from the list.
func (t *table) remove(publisher uint64, from, to int) {
	if to == from {
		return
	}
	t.waiting -= to - from
	t.lives[publisher] = slices.Delete(t.lives[publisher], from, to)
	if len(t.lives[publisher]) == 0 {
		delete(t.lives, publisher)
	}
}

// rejected applies a rejection.
func (t *table) rejected(r rejection) {
	i, found := search(t.lives[r.publisher], r.sequence)
	if !found {
		t.rejections[t.rejects%maxRecent] = r
		t.rejects++
		return
	}
	t.reject(i, &r)
}

// reject ends the span of the message at an index of its publisher's list.
func (t *table) reject(i int, r *rejection) {
	p := t.lives[r.publisher][i]
	p.endSending(r.at, r.reason)
	p.span.AddEvent("rejected", trace.WithTimestamp(r.at))
	p.span.SetStatus(codes.Error, r.reason)
	p.end(r.at, outcomeRejected)
	t.remove(r.publisher, i, i+1)
}

// oldest returns the beginning of the message that waits longest.
func (t *table) oldest() (began time.Time, found bool) {
	for _, list := range t.lives {
		for _, p := range list {
			if !found || p.began.Before(began) {
				began, found = p.began, true
			}
		}
	}
	return began, found
}

// endBefore ends the spans of the messages that began at a time or before.
func (t *table) endBefore(began, at time.Time) {
	for publisher, list := range t.lives {
		kept := slices.DeleteFunc(list, func(p *published) bool {
			old := !p.began.After(began)
			if old {
				t.waiting--
				p.end(at, outcomePending)
			}
			return old
		})
		if t.lives[publisher] = kept; len(kept) == 0 {
			delete(t.lives, publisher)
		}
	}
}

// splitAddress returns host and port of a server's URI. Of a local socket, the host is its path.
func splitAddress(uri string) (host, port string) {
	u, err := url.Parse(uri)
	if err != nil {
		return uri, ""
	}
	if path := u.Query().Get("path"); u.Scheme == "unix" && path != "" {
		return path, ""
	}
	if host, port, err = net.SplitHostPort(u.Host); err != nil {
		return u.Host, ""
	}
	return host, port
}
