package replica

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// scanStep is the number of records that the sender examines before other frames get their turn.
const scanStep = 4096

// write sends until the connection ends.
func (c *conn) write() {
	err := c.out.Run()
	c.sender.close()
	if err != nil {
		c.closeWith(fmt.Errorf("link lost: %w", err))
		return
	}
	if c.finalFrame() != nil {
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = c.nc.SetReadDeadline(time.Now().Add(c.l.o.Heartbeat))
	}
}

// A sender is the sending half of a connection: a cursor over the journal, and the frames between
// its records. It is the Source of the connection's outbound.Writer. It belongs to the goroutine
// that calls Fill. This is the goroutine of write, or one that has appended a record or made it
// durable and sends inline.
type sender struct {
	c             *conn
	enc           *encoder
	nextFrames    func(*sender) (busy bool, err error) // makes the next frames, at first those of the handshake
	states        []journal.PublisherState             // those of our hello that are not sent yet
	follower      *journal.Follower                    // nil: we do not replicate to the peer
	record        journal.Record                       // the next record to be sent
	recordPending bool                                 // record has been read and not sent yet
	raw           []byte                               // encoding of a marker
	introduced    []byte                               // encoding of a record with its check added
	moved         []bookmark.Bookmark                  // memory that sendAcks reuses
	floors        []journal.PublisherState             // to be sent once the cursor has reached floorsAfter; nil: already sent
	floorsAfter   journal.Position
	markers       []journal.Record // markers of floors, to be sent before any other record
	trimmed       bool             // retention has overtaken the follower
	heartbeatAt   time.Time        // when the next heartbeat is due
	heartbeatDue  bool
}

func newSender(c *conn) *sender {
	return &sender{c: c, enc: newEncoder(), nextFrames: (*sender).sendHandshake}
}

func (s *sender) close() {
	if s.follower != nil {
		_ = s.follower.Close()
	}
}

// Fill implements outbound.Source.
func (s *sender) Fill(b []byte, inline bool) (out []byte, next time.Time, err error) {
	if inline && !s.canSendInline() {
		return b, outbound.Again, nil
	}
	if !inline {
		s.scheduleHeartbeat(s.c.l.o.Now())
	}
	busy, err := s.appendFrames(b)
	next = s.heartbeatAt
	if busy {
		next = outbound.Again
	}
	return s.enc.all(), next, err
}

// canSendInline reports whether neither floors nor markers must be sent before the next records,
// and the connection has not ended.
func (s *sender) canSendInline() bool {
	return !s.trimmed && s.floors == nil && len(s.markers) == 0 && !isClosed(s.c.done)
}

// scheduleHeartbeat notes whether a heartbeat is due, and when the next one will be.
func (s *sender) scheduleHeartbeat(now time.Time) {
	if now.Before(s.heartbeatAt) && !s.c.tellsNow.Swap(false) {
		return
	}
	s.heartbeatDue = !s.heartbeatAt.IsZero()
	s.heartbeatAt = now.Add(s.c.l.o.Heartbeat)
}

// appendFrames appends the next frames to b. If the connection has been closed, it appends the
// final frame and returns io.EOF.
func (s *sender) appendFrames(b []byte) (busy bool, err error) {
	s.enc.appendTo(b)
	if isClosed(s.c.done) {
		s.enc.add(s.c.finalFrame())
		return false, io.EOF
	}
	before := s.enc.kept
	busy, err = s.nextFrames(s)
	if isClosed(s.c.up) {
		s.c.peer.sentBytes.Add(uint64(s.enc.kept - before))
	}
	if err != nil {
		s.c.closeWith(err)
	}
	return busy, err
}

// sendHandshake sends the frames of the handshake. When conn.statesReady is closed, our states come
// next.
func (s *sender) sendHandshake() (busy bool, err error) {
	ready := isClosed(s.c.statesReady) // checked before the frames are taken, since the hello is one of them
	s.sendQueued(&s.c.mu, &s.c.handshakeFrames)
	if !ready {
		return false, nil
	}
	s.states, s.nextFrames = s.c.ours.States, (*sender).sendStates
	return true, nil
}

// sendStates sends one frame of states.
func (s *sender) sendStates() (busy bool, err error) {
	f := newStatesFrame(s.states)
	s.enc.frame(frameStates, f)
	s.enc.keep()
	if s.states = s.states[len(f.states):]; f.last {
		s.nextFrames = (*sender).startStream
	}
	return true, nil
}

// startStream starts the stream once the handshake is done on both sides.
func (s *sender) startStream() (busy bool, err error) {
	if !isClosed(s.c.up) {
		return false, nil
	}
	s.nextFrames = (*sender).stream
	s.c.out.Greeted()
	if !s.c.ours.Outbound {
		return true, nil
	}
	return true, s.openCursor()
}

// openCursor opens the cursor at the position that the peer's vector determines. It sends no gone
// markers yet: a floor may come from a marker, and the journal may have records before that marker
// which the peer still lacks.
func (s *sender) openCursor() error {
	j := s.c.l.o.Journal
	s.c.mu.Lock()
	have := s.c.link.Have().Clone()
	s.c.mu.Unlock()
	from, err := j.SeekVector(have)
	if err != nil {
		return fmt.Errorf("find the position to send from: %w", err)
	}
	if failpoint.On(failpoint.R2HelloWithoutHave) {
		from = j.End()
	}
	s.follower = j.Follow(from, journal.Appended)
	s.c.peer.sentTo.Store(uint64(from))
	// The order matters: the follower notices if retention removes anything from now on.
	s.floors, s.floorsAfter = withoutForgotten(addForgotten(s.c.ours.States, j.States()), s.c.ours.States, have), j.End()
	return nil
}

// addForgotten adds to states those that our hello contained and that the journal has forgotten
// since then. The peer waits for these publishers and gets the floor.
func addForgotten(inHello, states []journal.PublisherState) []journal.PublisherState {
	known := make(map[uint64]bool, len(states))
	for _, s := range states {
		known[s.Publisher] = true
	}
	for _, s := range inHello {
		if !known[s.Publisher] {
			s.Floor = s.Have
			states = append(states, s)
		}
	}
	return states
}

// queueFloorMarkers queues the floors of publishers without records in the journal, once the cursor
// has reached the end that the journal had when the cursor was opened.
func (s *sender) queueFloorMarkers() {
	if s.floors == nil || s.follower.Position() < s.floorsAfter {
		return
	}
	s.markers, s.floors = s.c.goneMarkers(s.floors), nil
}

// goneMarkers returns gone markers for the floors that the peer has not reached.
func (c *conn) goneMarkers(states []journal.PublisherState) []journal.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.GoneMarkers(states)
}

// sendGoneMarkers sends one frame of gone markers.
func (s *sender) sendGoneMarkers() error {
	s.enc.begin(frameRecords)
	for len(s.markers) > 0 && s.enc.payload() < batchBytes {
		if err := s.addMarker(&s.markers[0]); err != nil {
			return err
		}
		s.markers = s.markers[1:]
	}
	s.enc.keep()
	return nil
}

// addMarker adds a marker of our own to the batch.
func (s *sender) addMarker(r *journal.Record) error {
	raw, err := record.Append(s.raw[:0], r)
	if err != nil {
		return err
	}
	s.raw = raw
	s.addRecord(r, raw)
	return nil
}

func (s *sender) addRecord(r *journal.Record, raw []byte) {
	s.enc.record(raw)
	s.c.raisePeerHave(bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence})
}

// stream sends all pending frames, at most one of them with records. It reports whether there may
// be more.
func (s *sender) stream() (busy bool, err error) {
	s.sendAcks()
	if s.heartbeatDue {
		s.heartbeatDue = false
		s.sendHeartbeat()
	}
	switch {
	case s.follower == nil:
		return false, nil
	case len(s.markers) > 0:
		return true, s.sendGoneMarkers()
	case s.trimmed:
		s.trimmed = false
		s.close()
		if err := s.openCursor(); err != nil {
			return false, err
		}
	}
	sent, more, err := s.fillBatch()
	if err != nil {
		return false, err
	}
	s.c.peer.sentTo.Store(uint64(s.follower.Position()))
	if sent > 0 {
		s.c.peer.sent.Add(uint64(sent))
		s.enc.keep()
	}
	s.queueFloorMarkers()
	return more || len(s.markers) > 0, nil
}

// sendQueued sends the frames of a queue, which mu guards.
func (s *sender) sendQueued(mu *sync.Mutex, queue *[][]byte) {
	mu.Lock()
	frames := *queue
	*queue = nil
	mu.Unlock()
	for _, frame := range frames {
		s.enc.add(frame)
	}
}

// reintroduce queues gone markers for publishers that have a session at the peer or here, and that
// the peer may have forgotten.
func (s *sender) reintroduce() {
	s.c.l.mu.Lock()
	reopened := s.c.reopened
	s.c.reopened = nil
	s.c.l.mu.Unlock()
	if len(reopened) > 0 {
		s.markers = append(s.markers, s.c.goneMarkers(reopened)...)
	}
}

// sendAcks sends the queued frames, then acks for the sequences that became durable.
func (s *sender) sendAcks() {
	s.sendQueued(&s.c.l.mu, &s.c.control)
	s.reintroduce()
	s.c.l.mu.Lock()
	moved := s.moved[:0]
	for publisher, sequence := range s.c.pending {
		moved = append(moved, bookmark.Bookmark{Publisher: publisher, Sequence: sequence})
	}
	clear(s.c.pending)
	s.c.l.mu.Unlock()
	s.moved = moved
	if !s.c.theirs.Outbound {
		return // a peer that sends no records needs no acks
	}
	for part := range slices.Chunk(moved, acksBatch) {
		s.enc.begin(frameAck)
		(*vectorFrame)(&part).fields(s.enc)
		s.enc.keep()
	}
}

// fillBatch fills a frame with the next records. It returns their number and whether there may be
// more.
func (s *sender) fillBatch() (sent int, more bool, err error) {
	s.enc.begin(frameRecords)
	for range scanStep {
		if s.enc.payload() >= batchBytes {
			return sent, true, nil
		}
		if !s.recordPending {
			s.skipEchoes()
			ok, err := s.follower.Next(&s.record)
			if errors.Is(err, journal.ErrTrimmed) {
				s.trimmed = true // the records already in the batch go first
				return sent, true, nil
			}
			if err != nil {
				return sent, false, fmt.Errorf("reading the journal: %w", err)
			}
			if !ok {
				return sent, false, nil
			}
		}
		n, wait, err := s.addNext(&s.record)
		sent += n
		if s.recordPending = wait; wait || err != nil {
			return sent, false, err
		}
		if n > 0 {
			sent += s.sendRun(s.record.Publisher, s.record.Sequence+1)
		}
	}
	return sent, true, nil
}

// skipEchoes moves the cursor past the records that have just come from the peer.
func (s *sender) skipEchoes() {
	at := s.follower.Position()
	s.c.mu.Lock()
	echo := s.c.echo
	s.c.mu.Unlock()
	if echo.from <= at && at < echo.to {
		s.follower.Seek(echo.to)
	}
}

// sendRun adds to the batch the messages that directly follow one that is in it.
func (s *sender) sendRun(publisher, from uint64) (sent int) {
	run := s.follower.PeekRun(publisher, from)
	if len(run) == 0 || s.c.l.leftOutPlanted(publisher, run[len(run)-1].Sequence()) {
		return 0
	}
	s.c.mu.Lock()
	run = run[:s.c.link.SendRun(run)]
	s.c.mu.Unlock()
	for _, o := range run {
		s.enc.record(o)
	}
	s.follower.Skip(len(run))
	return len(run)
}

// addNext adds a record to the batch as the link decides. wait reports that the record cannot be
// sent yet.
func (s *sender) addNext(r *journal.Record) (sent int, wait bool, err error) {
	if s.c.l.leftOutPlanted(r.Publisher, r.Sequence) {
		return 0, false, nil
	}
	switch s.decide(r) {
	case WaitDurable:
		return 0, true, nil
	case SendElsewhere:
		return 1, false, s.addMarker(elsewhereMarker(r))
	case SendFloor:
		n, err := s.addGoneBefore(r)
		if err != nil {
			return n, false, err
		}
		s.addRecord(r, r.Raw)
		return n + 1, false, nil
	case Send:
		s.enc.record(r.Raw)
		return 1, false, nil
	}
	return 0, false, nil
}

func (s *sender) decide(r *journal.Record) Decision {
	d := s.decideAt(r, 0)
	if d == AddCheck {
		d = s.introduce(r)
	}
	if d == WaitDurable { // only now the durable number matters
		d = s.decideAt(r, s.c.l.durable(r.Publisher))
	}
	return d
}

// introduce adds the publisher's check to a record, and decides about the record.
func (s *sender) introduce(r *journal.Record) Decision {
	state, _ := s.c.l.o.Journal.State(r.Publisher)
	if r.Check == (bookmark.Check{}) && state.Check != (bookmark.Check{}) {
		s.introduced = record.InsertCheck(s.introduced[:0], r, state.Check)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.link.NoteIntroduced(r.Publisher)
	return s.c.link.Decide(r, 0)
}

func (s *sender) decideAt(r *journal.Record, durable uint64) Decision {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.link.Decide(r, durable)
}

// addGoneBefore adds a gone marker for the messages before r that the peer lacks, if retention has
// removed them. If they are missing for another reason, the peer will refuse r.
func (s *sender) addGoneBefore(r *journal.Record) (sent int, err error) {
	state, _ := s.c.l.o.Journal.State(r.Publisher)
	state.Floor = min(state.Floor, r.Prev) // not beyond r
	gone := s.c.goneMarkers([]journal.PublisherState{state})
	for i := range gone {
		if err := s.addMarker(&gone[i]); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// sendHeartbeat sends a heartbeat. It also acknowledges records that became durable without a call
// of Durable, as may happen at the start.
func (s *sender) sendHeartbeat() {
	c, j := s.c, s.c.l.o.Journal
	b := heartbeat{damaged: j.Damage() != nil, groupClock: j.GroupClock(), wall: uint64(max(0, c.l.o.Wall().UnixMicro())), permissions: c.l.ownPermissions(), unsent: s.unsent()}
	if failpoint.On(failpoint.R14PermissionsKept) {
		b.permissions = c.ours.Permissions
	}
	c.l.mu.Lock()
	var moved []uint64
	for publisher := range c.movedPublishers {
		if len(moved) == heartbeatBatch {
			b.more = true
			break
		}
		moved = append(moved, publisher)
		delete(c.movedPublishers, publisher)
	}
	received := c.unacked.Clone()
	c.tellProgressLocked(&b)
	c.l.mu.Unlock()

	slices.Sort(moved)
	for _, publisher := range moved {
		state, _ := j.State(publisher)
		b.moved = append(b.moved, state)
	}
	c.ackDurable(received)
	s.enc.frame(frameHeartbeat, &b)
	s.enc.keep()
}

// ackDurable acknowledges the received records that are durable.
func (c *conn) ackDurable(received bookmark.Vector) {
	for publisher, sequence := range received {
		durable := c.l.durable(publisher)
		if durable < sequence {
			continue
		}
		c.l.mu.Lock()
		c.ackLocked(bookmark.Bookmark{Publisher: publisher, Sequence: durable})
		c.l.mu.Unlock()
		c.out.Wake()
	}
}
