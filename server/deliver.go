package server

import (
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	markInterval = time.Second // between progress marks, while something moves
	markRecords  = 1000        // or so many records passed
)

// A sub is a subscription of a session: what decides, and the follower it
// reads with while it is behind. It belongs to the pump.
type sub struct {
	route.Subscription
	id   string // of the command
	acks wire.AckType

	follower  *journal.Follower // nil: with the shared one
	alone     topic.Table[*sub] // itself, to remember which topics match
	rec       journal.Record
	holding   bool // rec was read and waits until it is safe
	waits     bool // the client knows that it may have to wait long
	lastMark  time.Time
	candidate bookmark.Bookmark // for a mark, when it is settled
}

func (b *sub) stop() {
	if b.follower != nil {
		b.follower.Close()
		b.follower = nil
	}
}

// add begins a subscription. It starts with a follower of its own and joins
// the others as soon as it has nothing left to read.
func (p *pump) add(b *sub, from journal.Position) {
	b.follower = p.s.srv.journal.Follow(from, journal.Durable)
	b.holding = false
	if b.alone.Len() == 0 {
		b.alone.Add(b.Pattern, b)
		b.lastMark = time.Now()
	}
	p.behind = append(p.behind, b)
	p.registerInterest()
}

// remove ends a subscription.
func (p *pump) remove(b *sub) {
	p.drop(b)
	p.registerInterest()
}

// drop takes a subscription from among those that are served.
func (p *pump) drop(b *sub) {
	b.stop()
	p.behind = slices.DeleteFunc(p.behind, func(o *sub) bool { return o == b })
	p.table.Remove(b)
	if p.table.Len() == 0 {
		p.stopShared()
	}
}

// registerInterest says what must wake the session.
func (p *pump) registerInterest() {
	durable := slices.ContainsFunc(p.behind, func(b *sub) bool { return b.Options.FullyDurable })
	p.s.srv.registry.subscribes(p.s, len(p.behind)+p.table.Len() > 0, durable)
}

func (p *pump) stopShared() {
	if p.shared != nil {
		p.shared.Close()
		p.shared = nil
	}
}

// deliver reads on with every follower and reports whether one has more.
func (p *pump) deliver() (more bool) {
	if p.shared != nil {
		more = p.deliverShared()
	}
	p.turn = append(p.turn[:0], p.behind...) // which changes when one joins
	for _, b := range p.turn {
		if p.deliverBehind(b) {
			more = true
		}
	}
	return more
}

// deliverShared reads on for the live subscriptions.
func (p *pump) deliverShared() (more bool) {
	for range turnRecords {
		ok, err := p.shared.Next(&p.rec)
		switch {
		case errors.Is(err, journal.ErrTrimmed):
			p.overtaken(slices.Collect(p.table.All))
			return true
		case err != nil:
			p.failed(err)
			return false
		case !ok:
			p.reached(nil)
			return false
		}
		p.reached(&p.rec)
		p.offer(&p.rec, &p.table)
		if p.shared == nil { // the last live subscription has ended with a gap
			return false
		}
		if len(p.out) >= pieceBytes {
			return true
		}
	}
	return true
}

// reached completes the replay of live subscriptions whose target was ahead of
// the shared follower; next is what it reads now, nil at the end.
func (p *pump) reached(next *journal.Record) {
	if !p.unfinished {
		return
	}
	p.unfinished = false
	for b := range p.table.All {
		at := b.Target()
		if next != nil {
			at = next.Position
		}
		p.complete(b, at)
		p.unfinished = p.unfinished || !b.Completed()
	}
}

// deliverBehind reads on for one subscription that is behind or takes only
// what is safe.
func (p *pump) deliverBehind(b *sub) (more bool) {
	for range turnRecords {
		if !b.holding {
			if ok, err := b.follower.Next(&b.rec); err != nil || !ok {
				return p.stopped(b, err)
			}
			if p.shared != nil && !b.Options.FullyDurable && b.rec.Position >= p.shared.Position() {
				p.join(b, b.rec.Position) // the shared follower reads it next
				return true
			}
		}
		p.complete(b, b.rec.Position)
		if b.holding = b.Options.FullyDurable && !p.isSafe(&b.rec); b.holding {
			p.waits(b, p.s.srv.links.Load().Single())
			return false
		}
		p.waits(b, false)
		p.offer(&b.rec, &b.alone)
		if b.follower == nil {
			return false
		}
		if len(p.out) >= pieceBytes {
			return true
		}
	}
	return true
}

// stopped is what becomes of a subscription whose follower has no next record.
func (p *pump) stopped(b *sub, err error) (more bool) {
	switch {
	case errors.Is(err, journal.ErrTrimmed):
		p.overtaken([]*sub{b})
		return true
	case err != nil:
		p.failed(err)
	default:
		p.atEnd(b)
	}
	return false
}

// atEnd has a subscription that has read everything join the live ones.
func (p *pump) atEnd(b *sub) {
	at := b.follower.Position()
	p.complete(b, max(at, b.Target()))
	if b.Options.FullyDurable {
		return
	}
	if p.shared == nil {
		p.shared, b.follower = b.follower, nil
	}
	p.join(b, at)
}

// join makes a subscription live.
func (p *pump) join(b *sub, at journal.Position) {
	b.stop()
	p.behind = slices.DeleteFunc(p.behind, func(o *sub) bool { return o == b })
	b.BecomeLive(at)
	p.unfinished = p.unfinished || !b.Completed()
	p.table.Add(b.Pattern, b)
}

// offer sends r once, with the ids of the subscriptions of the table that want
// it, and moves all of them past it.
func (p *pump) offer(r *journal.Record, table *topic.Table[*sub]) {
	p.match = p.match[:0]
	if r.Kind == journal.Message {
		for _, b := range table.Match(r.Topic) {
			if b.Wants(r) {
				p.match = append(p.match, b)
			}
		}
		if len(p.match) > 0 {
			p.deliverTo(p.match, r)
		}
	}
	var ended []*sub
	for b := range table.All {
		gap, missed := b.Pass(r)
		if missed && b.AcceptsGaps() {
			p.tell(b, []wire.Gap{gap})
		}
		if missed && !b.AcceptsGaps() {
			p.gap(b, []wire.Gap{gap})
			ended = append(ended, b)
		} else if b.Passed() >= markRecords {
			p.mark(b)
		}
	}
	for _, b := range ended {
		p.remove(b)
	}
}

// deliverTo sends one frame for all that want it.
func (p *pump) deliverTo(subs []*sub, r *journal.Record) {
	d := wire.Delivery{Topic: r.Topic, CorrelationID: r.CorrelationID, UserID: r.User, Body: r.Body}
	p.ids = p.ids[:0]
	for i, b := range subs {
		if i > 0 {
			p.ids = append(p.ids, ',')
		}
		p.ids = append(p.ids, b.ID...)
		if b.Bookmark || b.Options.Bookmark {
			d.Bookmark = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
		}
		if b.Options.Timestamp {
			d.Timestamp = r.Time
		}
	}
	d.SubIDs = p.ids
	p.out = d.AppendTo(p.out)
	p.s.srv.counts.delivered.Add(uint64(len(subs)))
}

// isSafe reports whether a record may go to a fully durable subscription (R13).
func (p *pump) isSafe(r *journal.Record) bool {
	if _, known := p.s.srv.journal.State(r.Publisher); !known {
		return true // retention has let go of its publisher since: of what is safe only (R2)
	}
	links := p.s.srv.links.Load()
	if p.s.ext && !mut.On(mut.R13SettledIsSafe) {
		return r.Sequence <= links.Safe(r.Publisher)
	}
	return r.Sequence <= links.Settled(r.Publisher)
}

// waits tells the client of a fully durable subscription whether what it waits
// for has to wait for a destination that is left out (R13).
func (p *pump) waits(b *sub, on bool) {
	if b.waits == on || !b.Options.Vector {
		return
	}
	b.waits = on
	p.ack(&wire.AckMessage{CommandID: b.id, Type: wire.AckPersisted, Success: true, SubID: b.ID, Single: on})
}

// complete sends the completed ack, if it was asked for, when the replay has
// reached what was there at the subscribe.
func (p *pump) complete(b *sub, next journal.Position) {
	if !b.Reached(next) || b.acks&wire.AckCompleted == 0 {
		return
	}
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckCompleted, Success: true, SubID: b.ID}
	if last := b.Last(); b.Bookmark && !last.IsZero() {
		a.Bookmark = last.String()
	}
	p.ack(&a)
}

// overtaken is what becomes of subscriptions whose follower was overtaken by
// retention. One that goes by vector knows whether it misses something, and if
// not it seeks anew. Of the others nobody can say: their client was too slow.
func (p *pump) overtaken(subs []*sub) {
	for _, b := range subs {
		if !b.Options.Vector {
			p.s.mu.Lock()
			p.s.slowLocked()
			p.s.mu.Unlock()
			return
		}
		from, err := p.s.srv.journal.SeekVector(b.Seen())
		if err != nil {
			p.failed(err)
			return
		}
		gaps := route.Gaps(p.s.srv.journal.Floors(), b.Seen())
		p.drop(b)
		switch {
		case len(gaps) == 0:
		case !b.AcceptsGaps():
			p.gap(b, gaps)
			continue
		default:
			p.tell(b, gaps)
			b.Skip(gaps)
		}
		b.BecomeCatchingUp(from)
		p.add(b, from)
	}
	p.registerInterest()
}

// gap tells a subscription what it has missed for ever, which ends it (G7).
func (p *pump) gap(b *sub, gaps []wire.Gap) {
	p.s.forget(b)
	p.s.srv.counts.gaps.Add(1)
	p.s.log.Warn("a subscription has a gap and ends", "sub_id", b.ID, "gap", route.GapText(gaps))
	p.ack(&wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, Reason: wire.ReasonBookmarkNotFound, SubID: b.ID, Gap: route.GapText(gaps)})
}

// tell tells a subscription that accepts gaps what it has missed for ever.
func (p *pump) tell(b *sub, gaps []wire.Gap) {
	p.s.srv.counts.gaps.Add(1)
	p.s.log.Warn("a subscription has a gap and goes on", "sub_id", b.ID, "gap", route.GapText(gaps))
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, Success: true, SubID: b.ID, Gap: route.GapText(gaps)}
	if !p.s.srv.isReplicated(b.Pattern) {
		a.Reason = wire.ReasonNotReplicated // as at the subscribe
	}
	p.ack(&a)
}

// failed ends the session when the journal can't be read.
func (p *pump) failed(err error) {
	if !errors.Is(err, journal.ErrClosed) {
		p.s.log.Error("reading the journal for a subscription", "error", err)
	}
	p.s.end("the journal can't be read", nil)
}

// marks sends the progress marks that are due.
func (p *pump) marks() {
	p.eachMarked(func(b *sub) {
		if time.Since(b.lastMark) >= markInterval {
			p.mark(b)
		}
	})
}

// eachMarked calls f for the subscriptions that have something to mark.
func (p *pump) eachMarked(f func(*sub)) {
	for b := range p.table.All {
		if b.hasMark() {
			f(b)
		}
	}
	for _, b := range p.behind {
		if b.hasMark() {
			f(b)
		}
	}
}

func (b *sub) hasMark() bool {
	return b.Moved() && (b.Options.Vector || b.Bookmark && b.acks&wire.AckPersisted != 0)
}

// mark sends a progress mark (R9). A plain client takes it for a point that
// is safe everywhere, so for it what was passed last must be settled.
func (p *pump) mark(b *sub) {
	if !b.hasMark() {
		return
	}
	b.lastMark = time.Now()
	if mut.On(mut.R9NoMarks) {
		return
	}
	text := ""
	switch last := b.Last(); {
	case b.Options.Vector || p.isSettled(last):
		text = string(b.Mark(nil))
	case !b.candidate.IsZero() && p.isSettled(b.candidate):
		text, b.candidate = b.candidate.String(), last
	default:
		b.candidate = last
		return
	}
	p.ack(&wire.AckMessage{CommandID: b.id, Type: wire.AckPersisted, Success: true, SubID: b.ID, Bookmark: text})
}

func (p *pump) isSettled(b bookmark.Bookmark) bool {
	return p.s.srv.links.Load().Settled(b.Publisher) >= b.Sequence
}

// untilMark returns how long the next progress mark may wait.
func (p *pump) untilMark() time.Duration {
	next := time.Hour
	p.eachMarked(func(b *sub) { next = min(next, markInterval-time.Since(b.lastMark)) })
	return next
}
