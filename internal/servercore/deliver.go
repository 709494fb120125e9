package servercore

import (
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// deliver reads on with every follower and reports whether one of them has more records.
func (s *Session) deliver(now time.Time) (more bool) {
	w := &s.writer
	if s.isThrottled(now) {
		return false
	}
	s.awaitsSafe.Store(false) // until a subscription waits again
	if w.shared != nil {
		more = s.deliverShared(now)
		s.noteLive()
	}
	w.turn = append(w.turn[:0], w.behind...) // a copy, since behind changes when a subscription goes live
	awaited := ledger.Position(0)            // position of the record that parked subscriptions hold until it is safe
	began := w.read
	for i, b := range w.turn {
		if s.isThrottled(now) {
			w.rotate(b)
			return false
		}
		if i > 0 && (len(w.out) >= fillBytes && !failpoint.On(failpoint.DFillsAll) || w.read-began >= fillRecords && !failpoint.On(failpoint.DReadsAll)) {
			w.rotate(b)
			return true
		}
		if b.follower == nil && b.parkedAt == awaited && awaited > 0 {
			continue // it would read the same record and wait
		}
		more = s.deliverBehind(b, now) || more
		b.noteProgress()
		if len(w.behind) > maxFollowers && !failpoint.On(failpoint.DFillsAll) {
			awaited = s.park(b, awaited)
		}
	}
	if len(w.behind) <= maxFollowers {
		closeFollower(&w.spare)
	}
	return more
}

// maxFollowers is the maximum number of subscriptions that are behind and keep their followers,
// with the data read, while others have their turn.
const maxFollowers = 4

// rotate makes b the first subscription of the next turn.
func (f *feeds) rotate(b *sub) {
	if i := slices.Index(f.behind, b); i > 0 {
		f.behind = slices.Concat(f.behind[i:], f.behind[:i])
	}
}

// followerMemory returns the memory of the open followers in bytes.
func (f *feeds) followerMemory() int {
	bytes := followerBytes * min(len(f.behind), maxFollowers)
	if f.spare != nil {
		bytes += followerBytes
	}
	if f.shared != nil {
		bytes += liveBytes
	}
	return bytes
}

// closeFollower closes a follower, if there is one, and sets it to nil.
func closeFollower(f *ledger.Follower) {
	if *f != nil {
		(*f).Close()
		*f = nil
	}
}

// deliverShared reads on for the live subscriptions.
func (s *Session) deliverShared(now time.Time) (more bool) {
	w := &s.writer
	for range turnRecords {
		if s.turnEnds(&w.table, now) {
			return !s.isThrottled(now)
		}
		if ok, err := w.shared.Next(&w.record); err != nil {
			return s.handleReadError(err, slices.Collect(w.table.All), now)
		} else if !ok {
			s.completeReplays(nil)
			return false
		}
		s.completeReplays(&w.record)
		s.deliverRecord(&w.record, &w.table, now)
		if w.shared == nil { // the last live subscription has ended with a gap
			return false
		}
		if len(w.out) >= fillBytes {
			return true
		}
	}
	return true
}

const (
	// turnWork bounds the matching work of one turn, in pattern steps times topic bytes. It takes
	// about a hundredth of a second.
	turnWork = 1 << 20
	// throttleInterval is the interval from the start of one turn to the start of the next, for
	// each turnWork of matching. So expensive patterns leave the processor to other sessions most
	// of the time.
	throttleInterval = 30 * time.Millisecond
)

// turnEnds reports whether the turn must end, because it has matched too much or because the
// session is ending. In the first case it also throttles the session.
func (s *Session) turnEnds(table *topic.Table[*sub], now time.Time) bool {
	if s.ended.Load() {
		return true
	}
	if table.Work() < turnWork || failpoint.On(failpoint.DNoPause) {
		return false
	}
	s.writer.throttledUntil = now.Add(throttleInterval * time.Duration(table.Work()) / turnWork)
	table.ResetWork()
	return true
}

// isThrottled reports whether the session may not match more messages yet.
func (s *Session) isThrottled(now time.Time) bool { return now.Before(s.writer.throttledUntil) }

// completeReplays completes the replay of live subscriptions whose target was ahead of the shared
// follower. next is the record that the follower has just read, nil at the end of the log.
func (s *Session) completeReplays(next *ledger.Record) {
	w := &s.writer
	if !w.unfinished {
		return
	}
	w.unfinished = false
	for b := range w.table.All {
		at := b.Target()
		if next != nil {
			at = next.Position
		}
		s.completeReplay(b, at)
		w.unfinished = w.unfinished || !b.Completed()
	}
}

// deliverBehind reads on for one subscription that has its own follower: it is behind, or it is
// fully durable.
func (s *Session) deliverBehind(b *sub, now time.Time) (more bool) {
	w := &s.writer
	s.unpark(b)
	for range turnRecords {
		if s.turnEnds(&b.alone, now) {
			return !s.isThrottled(now)
		}
		if !b.awaitsSafe {
			if ok, err := b.follower.Next(&b.record); err != nil {
				return s.handleReadError(err, []*sub{b}, now)
			} else if !ok {
				s.handleEndOfLog(b)
				return false
			}
			w.read++
			if w.shared != nil && !b.Options.FullyDurable && b.record.Position >= w.shared.Position() {
				s.goLive(b, b.record.Position) // the shared follower reads this record next
				return true
			}
		}
		s.completeReplay(b, b.record.Position)
		if b.awaitsSafe = b.Options.FullyDurable && !s.checkSafe(&b.record); b.awaitsSafe {
			s.reportHeldBack(b, s.inst.Ledger.Single())
			return false
		}
		s.reportHeldBack(b, false)
		s.deliverRecord(&b.record, &b.alone, now)
		if b.follower == nil {
			return false
		}
		if len(w.out) >= fillBytes {
			return true
		}
	}
	return true
}

// handleReadError handles subscriptions whose follower cannot read on.
func (s *Session) handleReadError(err error, subs []*sub, now time.Time) (more bool) {
	if errors.Is(err, ledger.ErrTrimmed) {
		s.handleTrimmed(subs, now)
		return true
	}
	s.endOnReadError(err)
	return false
}

// handleEndOfLog handles a subscription that has read the whole log: the subscription becomes live,
// except a fully durable one, which keeps its own follower.
func (s *Session) handleEndOfLog(b *sub) {
	at := b.follower.Position()
	s.completeReplay(b, max(at, b.Target()))
	if b.Options.FullyDurable {
		return
	}
	if s.writer.shared == nil {
		s.writer.shared, b.follower = b.follower, nil
	}
	s.goLive(b, at)
}

// goLive makes a subscription live.
func (s *Session) goLive(b *sub, at ledger.Position) {
	w := &s.writer
	closeFollower(&b.follower)
	b.alone.ClearCache()
	b.record = ledger.Record{}
	w.behind = slices.DeleteFunc(w.behind, func(o *sub) bool { return o == b })
	b.BecomeLive(at)
	w.unfinished = w.unfinished || !b.Completed()
	w.table.Add(b.Pattern, b)
}

// deliverRecord writes r once, with the ids of all subscriptions of the table that want it, and
// moves all subscriptions of the table past it.
func (s *Session) deliverRecord(r *ledger.Record, table *topic.Table[*sub], now time.Time) {
	w := &s.writer
	w.match = w.match[:0]
	if failpoint.On(failpoint.R9WithheldNotPassed) && r.Kind == ledger.Message && !s.mayRead(r.Topic) {
		return
	}
	if r.Kind == ledger.Message && s.mayRead(r.Topic) {
		for _, b := range table.Match(r.Topic) {
			b.Matched(r)
			if b.Wants(r) {
				w.match = append(w.match, b)
			}
		}
		if len(w.match) > 0 {
			s.tellDelivered(w.match, bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence})
			s.deliverTo(w.match, r)
		}
	}
	var ended []*sub
	for b := range table.All {
		gap, missed := b.Pass(r)
		if missed && !b.AcceptsGaps() {
			s.writeMark(b, now) // so that the gap begins where the client's place ends
			ended = append(ended, b)
		}
		if missed {
			s.tellGap(b, []wire.Gap{gap})
		}
		if b.Passed() >= markRecords {
			s.writeMark(b, now)
		}
	}
	for _, b := range ended {
		s.removeSub(b)
	}
}

// checkSafe reports the same as isSafe. If the record is not safe, it also has the session woken
// when watermarks move.
func (s *Session) checkSafe(r *ledger.Record) bool {
	if s.isSafe(r) {
		return true
	}
	s.awaitsSafe.Store(!failpoint.On(failpoint.DSafeWaiterNotWoken))
	return s.isSafe(r) // the watermark may have moved before awaitsSafe was set
}

// isSafe reports whether a record may go to a fully durable subscription: it is safe or, for a
// plain client, settled (R13).
func (s *Session) isSafe(r *ledger.Record) bool {
	if _, known := s.inst.Ledger.Have(r.Publisher); !known {
		return true // the publisher was forgotten since, after retention had removed its records
	}
	if from := s.inst.Ledger.Diverged(r.Publisher); from > 0 && r.Sequence >= from && !failpoint.On(failpoint.R11DivergedHoldsBack) {
		return true // it never becomes safe
	}
	safe, settled := s.inst.Ledger.Watermarks(r.Publisher)
	if s.client.ext && !failpoint.On(failpoint.R13SettledIsSafe) {
		return r.Sequence <= safe
	}
	return r.Sequence <= settled
}

// reportHeldBack tells the client of a fully durable subscription whether the next message waits
// for a downgraded destination, if that has changed (R13).
func (s *Session) reportHeldBack(b *sub, on bool) {
	if b.heldBackReported == on || !b.Options.Vector {
		return
	}
	b.heldBackReported = on
	s.write(&wire.AckMessage{CommandID: b.id, Type: wire.AckPersisted, Success: true, SubID: b.ID, Single: on})
}

// completeReplay writes the completed ack, if the subscribe requested one, once the replay has
// reached the end that the log had at the subscribe. A subscription by vector gets a mark first, so
// that the mark covers all of the replay.
func (s *Session) completeReplay(b *sub, next ledger.Position) {
	if !b.Reached(next) || b.acks&wire.AckCompleted == 0 {
		return
	}
	if b.Options.Vector {
		s.writeMark(b, b.lastMark)
	}
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckCompleted, Success: true, SubID: b.ID}
	if b.Bookmark {
		a.MessageBookmark = b.Shown() // a plain client may keep it as its place
	}
	s.write(&a)
}

// handleTrimmed handles subscriptions that retention has overtaken. A subscription by vector knows
// whether it missed a message. If it missed none, or accepts the gap, it seeks again. A plain
// subscription cannot know, so its session ends as that of a slow client.
func (s *Session) handleTrimmed(subs []*sub, now time.Time) {
	for _, b := range subs {
		if !b.Options.Vector {
			s.mu.Lock()
			s.endSlowLocked()
			s.mu.Unlock()
			return
		}
		from, err := b.seek(s.inst.Ledger, b.Seen())
		if err != nil {
			s.endOnReadError(err)
			return
		}
		gaps := route.Gaps(s.inst.Ledger.RemovedMatching(b.matches(), b.Seen()), b.Seen())
		s.detachSub(b)
		if len(gaps) > 0 {
			s.tellGap(b, gaps)
			if !b.AcceptsGaps() {
				continue
			}
			b.Skip(gaps)
		}
		b.BecomeCatchingUp(from)
		s.startReading(b, from, now)
	}
	s.registerInterest()
}

// tellGap tells a subscription of messages that it can no longer get. A subscription that does not
// accept gaps ends with that: no gap is silent (G7).
func (s *Session) tellGap(b *sub, gaps []wire.Gap) {
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, Success: b.AcceptsGaps(), SubID: b.ID, Gap: route.GapText(gaps)}
	switch {
	case !a.Success:
		a.Reason = wire.ReasonBookmarkNotFound
		s.unregisterSub(b)
	case !s.inst.isReplicated(b.Pattern):
		a.Reason = wire.ReasonNotReplicated // as in the answer to the subscribe
	}
	s.inst.Counts.Gaps.Add(1)
	s.log.Warn("a subscription has a gap: retention has removed messages that it had not got", "subscription", b.ID, "gap", a.Gap, "continues", a.Success)
	s.write(&a)
}

// endOnReadError ends the session because the ledger cannot be read.
func (s *Session) endOnReadError(err error) {
	if !errors.Is(err, ledger.ErrClosed) {
		s.log.Error("session ends: the journal cannot be read for its subscriptions", "error", err)
	}
	s.End("the journal cannot be read", nil)
}
