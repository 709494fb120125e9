package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// How much of the journal a turn delivers, and how often a subscription is
// told how far it is.
const (
	turnRecords  = 256
	markRecords  = 200
	markInterval = time.Second
)

// A subscription is one on the instance's side.
type subscription struct {
	route.Subscription
	s        *session
	id       uint64
	follower *journal.Follower
	rec      journal.Record
	holding  bool // rec was read and waits until it is safe
	lastMark time.Duration
}

func (b *subscription) stop() {
	if b.follower != nil {
		b.follower.Close()
		b.follower = nil
	}
}

// subscribe begins a subscription by vector and answers.
func (s *session) subscribe(p subscribePacket) {
	b := &subscription{s: s, id: p.id, lastMark: s.i.w.now}
	var err error
	b.Options, err = route.ParseOptions([]byte(p.options))
	if err == nil {
		b.Pattern, err = route.ParsePattern(p.topic)
	}
	var start bookmark.Start
	if err == nil {
		start, err = bookmark.ParseStart([]byte(p.bm))
	}
	if err != nil {
		panic("BUG: " + err.Error())
	}
	b.Bookmark = true
	j := s.i.j
	at := route.Start{Target: j.Durable()}
	answer := subscribedPacket{id: p.id}
	switch start.Kind {
	case bookmark.Epoch:
		at.From, at.Seen = j.First(), j.Floors()
	case bookmark.Now:
		at.From, at.Seen = j.DurableVector()
	case bookmark.List:
		at.Seen = bookmark.Vector{}
		for _, x := range start.List {
			at.Seen[x.Publisher] = max(at.Seen[x.Publisher], x.Sequence)
		}
		at.From, err = j.SeekVector(at.Seen)
		floors := j.Floors()
		if answer.gaps = route.Gaps(floors, at.Seen); len(answer.gaps) > 0 {
			at.Seen.Merge(floors)
		}
	}
	if err != nil {
		s.end() // the journal can't be read
		return
	}
	answer.base = at.Seen.Clone()
	b.Begin(at)
	b.follower = j.Follow(at.From, journal.Durable)
	s.subs = append(s.subs, b)
	s.send(answer)
}

func (s *session) unsubscribe(id uint64) {
	for n, b := range s.subs {
		if b.id == id {
			b.stop()
			s.subs = append(s.subs[:n], s.subs[n+1:]...)
			return
		}
	}
}

// deliver reads on and reports whether there is more.
func (b *subscription) deliver() (more bool) {
	var out []messagePacket
	defer func() { b.s.send(out) }()
	for range turnRecords {
		if !b.holding {
			ok, err := b.follower.Next(&b.rec)
			if errors.Is(err, journal.ErrTrimmed) {
				b.s.send(out) // what was read stands before the gap
				out = nil
				b.overtaken()
				return true
			}
			if err != nil {
				b.s.end()
				return false
			}
			if !ok {
				break
			}
		}
		if b.holding = b.Options.FullyDurable && !b.isSafe(); b.holding {
			break
		}
		if b.rec.Kind == journal.Message && b.Pattern.Match(b.rec.Topic) && b.Wants(&b.rec) {
			out = append(out, messagePacket{
				sub: b.id, topic: bytes.Clone(b.rec.Topic), b: bookmark.Bookmark{Publisher: b.rec.Publisher, Sequence: b.rec.Sequence},
				body: binary.LittleEndian.Uint64(b.rec.Body),
			})
		}
		if gap, missed := b.Pass(&b.rec); missed {
			b.s.send(out)
			out = nil
			if !b.AcceptsGaps() {
				b.gap([]wire.Gap{gap})
				return true
			}
			b.s.send(subscribedPacket{id: b.id, gaps: []wire.Gap{gap}})
		}
		if b.Passed() >= markRecords {
			b.s.send(out)
			out = nil
			b.mark()
		}
		more = true
	}
	if b.s.i.w.now-b.lastMark >= markInterval && b.Moved() {
		b.s.send(out)
		out = nil
		b.mark()
	}
	return more
}

// isSafe reports whether the record that was read may go to a subscription
// that takes only what is safe (R13).
func (b *subscription) isSafe() bool {
	_, known := b.s.i.j.State(b.rec.Publisher)
	return !known || b.rec.Sequence <= b.s.i.links.Safe(b.rec.Publisher)
}

func (b *subscription) mark() {
	b.lastMark = b.s.i.w.now
	b.s.send(markPacket{b.id, string(b.Mark(nil))})
}

// overtaken seeks anew: retention was faster.
func (b *subscription) overtaken() {
	j := b.s.i.j
	from, err := j.SeekVector(b.Seen())
	if err != nil {
		b.s.end()
		return
	}
	if gaps := route.Gaps(j.Floors(), b.Seen()); len(gaps) > 0 {
		if !b.AcceptsGaps() {
			b.gap(gaps)
			return
		}
		b.s.send(subscribedPacket{id: b.id, gaps: gaps})
		b.Skip(gaps)
	}
	b.stop()
	b.holding = false
	b.BecomeCatchingUp(from)
	b.follower = j.Follow(from, journal.Durable)
}

// gap tells the subscriber what it has missed for ever, which ends the subscription.
func (b *subscription) gap(gaps []wire.Gap) {
	b.s.send(subscribedPacket{id: b.id, reason: wire.ReasonBookmarkNotFound, gaps: gaps})
	b.s.unsubscribe(b.id)
}
