package replica

import (
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// handleFrame handles one frame.
func (c *conn) handleFrame(payload []byte) error {
	t, d := c.dec.begin(payload), c.dec
	handle := c.handleLinkFrame
	if c.stage < handshakeDone {
		handle = c.handleHandshakeFrame
	} else if isClosed(c.up) {
		c.peer.receivedBytes.Add(uint64(frameHeader + len(payload)))
	}
	err := handle(t, d)
	if errors.Is(err, errFrame) {
		return c.explainReadError(err)
	}
	return err
}

func (c *conn) handleLinkFrame(t frameType, d *decoder) error {
	switch t {
	case frameRecords:
		return c.handleRecords(d)
	case frameAck:
		c.moved = c.moved[:0]
		err := d.body((*vectorFrame)(&c.moved))
		if err == nil {
			c.raisePeerHave(c.moved...)
			c.l.handleAck(c, c.moved)
		}
		return err
	case frameNotice:
		return c.handleNotice(d)
	case frameAnswer:
		var a noticeAnswer
		err := d.body(&a)
		if err == nil {
			c.l.handleAnswer(c, a)
		}
		return err
	case frameHeartbeat:
		return c.handleHeartbeat(d)
	case frameDecree:
		return c.handleDecree(d)
	case frameClosing:
		return c.handleClosing(d)
	case frameRefuse:
		return readRefusal(d)
	case frameDiverged:
		return c.handleDiverged(d)
	case frameStopping:
		return c.handleStopping(d)
	}
	return fmt.Errorf("%w: unknown type %d", errFrame, t)
}

// raisePeerHave raises the peer's vector to these numbers.
func (c *conn) raisePeerHave(moved ...bookmark.Bookmark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range moved {
		c.link.Raise(b)
	}
}

// peerHas reports whether the peer is known to have b.
func (c *conn) peerHas(b bookmark.Bookmark) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.Have().Covers(b)
}

// handleRecords appends the records of a frame to the journal.
func (c *conn) handleRecords(d *decoder) error {
	c.moved = c.moved[:0]
	records := 0
	defer func() {
		c.l.countReceived(c, records)
		if c.l.o.OnReceived != nil {
			c.l.o.OnReceived(c.moved)
		}
		c.batch.Notify()
	}()
	for rest := d.rest(); len(rest) > 0; {
		n, size, err := c.appendRun(rest)
		if n == 0 && err == nil {
			n, size, err = c.appendRecord(rest)
		}
		records, rest = records+n, rest[size:]
		if err != nil {
			return err
		}
	}
	return nil
}

// maxRun is the maximum number of messages that are appended at once.
const maxRun = 64

// appendRun appends a run of ordinary messages from the beginning of rest, the unread part of a
// frame. The messages are of one publisher, and this instance lacks each of them. appendRun returns
// their number and their length in bytes, or 0 if it leaves the first record to appendRecord.
func (c *conn) appendRun(rest []byte) (records, size int, err error) {
	run := c.parseRun(rest)
	defer clear(run) // the messages share the frame's memory
	if len(run) == 0 || c.checkDiskFull(run[0].Publisher(), run[0].Sequence()) != nil {
		return 0, 0, nil
	}
	publisher, last := run[0].Publisher(), run[len(run)-1].Sequence()
	c.noteIncoming(publisher, last)
	taken, err := c.batch.AppendRun(bookmark.Check{}, nil, run)
	if taken.Records > 0 {
		c.noteAppended(publisher, run[taken.Records-1].Sequence())
		c.noteEcho(journal.Position(taken.From), journal.Position(taken.To))
	}
	for _, o := range run[:taken.Records] {
		size += record.LengthLen + len(o)
	}
	if err != nil {
		err = c.appendError(err)
	}
	return taken.Records, size, err
}

// parseRun returns the run at the beginning of rest. It may be empty.
func (c *conn) parseRun(rest []byte) (run []record.OrdinaryMessage) {
	run = c.runBuffer[:0]
	for next := uint64(0); len(run) < maxRun; next++ {
		raw, remaining, ok := record.CutFramed(rest)
		if !ok {
			break
		}
		o, ok := record.AsOrdinary(raw)
		if !ok || !o.SumMatches() || failpoint.On(failpoint.HeadersLostAtLink) {
			break
		}
		if len(run) == 0 {
			have, _ := c.l.o.Journal.State(o.Publisher())
			next = have.Have + 1
		}
		if o.Sequence() != next || len(run) > 0 && o.Publisher() != run[0].Publisher() {
			break
		}
		run, rest = append(run, o), remaining
	}
	c.runBuffer = run
	return run
}

// appendRecord appends the first record of rest, the unread part of a frame.
func (c *conn) appendRecord(rest []byte) (records, size int, err error) {
	raw, _, ok := record.CutFramed(rest)
	if !ok {
		return 0, 0, fmt.Errorf("%w: the last record is truncated", errFrame)
	}
	r := &c.record
	if err := parse(raw, r); err != nil {
		return 0, 0, err
	}
	defer func() { *r = journal.Record{} }() // the record shares the frame's memory
	c.noteIncoming(r.Publisher, r.Sequence)
	if err := c.checkDiskFull(r.Publisher, r.Sequence); err != nil {
		return 0, 0, err
	}
	verdict, err := c.batch.Append(r)
	if err != nil {
		return 0, 0, c.appendError(err)
	}
	skipped, err := c.checkVerdict(r, verdict)
	if err != nil {
		return 0, 0, err
	}
	if !skipped {
		c.noteAppended(r.Publisher, r.Sequence)
	}
	return 1, record.LengthLen + len(raw), nil
}

func parse(raw []byte, r *journal.Record) error {
	if err := record.Parse(raw, r); err != nil {
		return &RefusedError{Code: refuseRecord, Reason: err.Error()}
	}
	if !r.SumMatches() {
		return &RefusedError{Code: refuseRecord, Reason: fmt.Sprintf("record %d|%d is damaged", r.Publisher, r.Sequence)}
	}
	if failpoint.On(failpoint.HeadersLostAtLink) {
		r.Headers, r.Raw, r.Sum = nil, nil, 0
	}
	return nil
}

// noteIncoming records that the peer has a record that is about to be appended. That must happen
// before our own sender can see the record.
func (c *conn) noteIncoming(publisher, sequence uint64) {
	c.l.receivedPlanted(publisher, sequence)
	c.raisePeerHave(bookmark.Bookmark{Publisher: publisher, Sequence: sequence})
}

// noteEcho records the part of the journal that holds messages from the peer.
func (c *conn) noteEcho(from, to journal.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != c.echo.to && !failpoint.On(failpoint.R2EchoSkipsBetween) {
		c.echo.from = from
	}
	c.echo.to = to
}

// noteAppended records that the messages up to sequence are in the journal now.
func (c *conn) noteAppended(publisher, sequence uint64) {
	b := bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
	if n := len(c.moved); n > 0 && c.moved[n-1].Publisher == b.Publisher {
		c.moved[n-1] = b
	} else {
		c.moved = append(c.moved, b)
	}
}

// checkDiskFull returns an error for a record that is new here if the disk is nearly full.
func (c *conn) checkDiskFull(publisher, sequence uint64) error {
	if c.l.o.DiskNearlyFull == nil || !c.l.o.DiskNearlyFull() {
		return nil
	}
	if have, _ := c.l.o.Journal.State(publisher); sequence <= have.Have {
		return nil
	}
	return &RefusedError{Code: refuseRecord, Reason: "the disk of " + c.l.o.Name + " is nearly full"}
}

// checkVerdict returns an error if the link must end because of a record that was not appended.
// skipped reports that the record was skipped because its publisher has diverged.
func (c *conn) checkVerdict(r *journal.Record, verdict journal.Verdict) (skipped bool, err error) {
	b := bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	switch verdict {
	case journal.Hole:
		have, _ := c.l.o.Journal.State(r.Publisher)
		return false, &RefusedError{Code: refuseRecord, Reason: fmt.Sprintf(
			"hole: %d|%d follows %d, but this journal ends at %d", r.Publisher, r.Sequence, r.Prev, have.Have)}
	case journal.OtherPublisher:
		c.l.o.Log.Error("DIVERGED: the peer has another publisher under the same id", "peer", c.peer.name, "publisher", r.Publisher)
		return true, c.l.noteDiverged([]bookmark.Bookmark{{Publisher: r.Publisher, Sequence: 1}})
	case journal.Differs:
		c.l.o.Log.Error("DIVERGED: the peer has another message under the same number",
			"peer", c.peer.name, "publisher", r.Publisher, "sequence", r.Sequence)
		return true, c.l.noteDiverged([]bookmark.Bookmark{{Publisher: r.Publisher, Sequence: c.firstUnproven(b)}})
	}
	return verdict == journal.Diverged, nil
}

// appendError returns a refusal if the journal's error is about the record, and another error if it
// is about the journal.
func (c *conn) appendError(err error) error {
	if c.l.o.Journal.Err() != nil || errors.Is(err, journal.ErrClosed) {
		return fmt.Errorf("the journal accepts no more records: %w", err)
	}
	return &RefusedError{Code: refuseRecord, Reason: err.Error()}
}

// countReceived counts the records that arrived from c's peer. c.moved has the highest sequence of
// each publisher.
func (l *Links) countReceived(c *conn, records int) {
	c.peer.received.Add(uint64(records))
	now, rejoining, wake := l.now(), l.rejoining.Load(), false
	l.mu.Lock()
	for _, b := range c.moved {
		c.unacked.Raise(b)
		if rejoining && l.rejoin.Appended(now, b) {
			wake = true
		}
	}
	l.mu.Unlock()
	if wake {
		l.wakeWatch()
	}
	c.ackPlanted()
}

// handleAck handles a link ack: the sequences that are on the peer's disk.
func (l *Links) handleAck(c *conn, moved []bookmark.Bookmark) {
	p := c.peer
	publishers := c.publishers[:0]
	now := l.now()
	l.mu.Lock()
	if p.conn != c || !p.outbound() {
		l.mu.Unlock()
		return
	}
	was := p.halfStateLocked()
	for _, b := range moved {
		publishers = append(publishers, b.Publisher)
		l.watermarks.Acked(p.index, b)
		p.progress.Acked(b)
		p.backlog.RemoveReached(b)
		if l.rejoining.Load() {
			l.rejoin.Acked(p.name, b)
		}
	}
	c.publishers = publishers
	if len(p.backlog) == 0 {
		p.refusals.Progressed()
	}
	l.updateAckStateLocked(p, now)
	if !was.whole() && p.halfStateLocked().whole() {
		p.tellStateLocked()
		l.emitLocked(EventCatchUpDone, p.name, p.name+" has caught up")
	}
	single := l.watermarks.Single() // if other destinations are left out, settled may have moved as well
	l.unlockAndNotify()
	if single {
		l.extendIntervals(publishers)
	}
	if p.dest.Sync {
		l.notifyWatermarks(publishers)
	}
	if l.rejoining.Load() {
		l.wakeWatch()
	}
}

// handleHeartbeat handles a heartbeat. It compares the peer's numbers and CRCs with ours.
func (c *conn) handleHeartbeat(d *decoder) error {
	var b heartbeat
	if err := d.body(&b); err != nil {
		return err
	}
	c.l.noteWallClock(c.peer, b.wall)
	c.noteProgress(&b)
	c.l.notePermissions(c.peer, b.permissions)
	if err := c.l.o.Journal.MergeGroupClock(b.groupClock); err != nil {
		return c.appendError(err)
	}
	moved, have := make([]bookmark.Bookmark, 0, len(b.moved)), make(bookmark.Vector)
	for _, s := range b.moved {
		moved = append(moved, bookmark.Bookmark{Publisher: s.Publisher, Sequence: s.Have})
		ours, _ := c.l.o.Journal.State(s.Publisher)
		if have[s.Publisher] = ours.Have; ours.Diverged > 0 {
			have[s.Publisher] = bookmark.MaxSequence // no more records of it will come
		}
	}
	c.raisePeerHave(moved...)
	if err := c.l.compareStates(c, b.moved, b.damaged); err != nil {
		return err
	}
	if c.l.rejoining.Load() {
		c.l.mu.Lock()
		c.l.rejoin.Heartbeat(c.peer.name, b.damaged, b.more, c.ours.Outbound, moved, have)
		c.l.mu.Unlock()
		c.l.wakeWatch()
	}
	return nil
}
