package replica

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/atonce"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	writeStep = 64 << 10 // written under one deadline
	scanStep  = 4096     // records looked at before other frames get their turn
)

// write sends until the connection ends, then says farewell.
func (c *conn) write() {
	s := c.sender
	err := s.run()
	s.mine.Take() // for good
	s.close()
	if err != nil {
		c.fail(err)
		return
	}
	if r := c.farewell(); r != nil && !s.torn && len(s.rest) == 0 {
		r.encode(s.enc)
		_, _ = c.nc.Write(s.enc.finish())
		if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = c.nc.SetReadDeadline(time.Now().Add(c.l.o.Heartbeat))
	}
}

// A sender is the sending half of a connection: a cursor over the journal and
// the frames that go between its records. It belongs to who has the turn:
// write's goroutine, or who brings what is to be sent and sends it by itself.
type sender struct {
	c        *conn
	mine     atonce.Turn    // held by who works with the rest
	atOnce   *atonce.Writer // nil: only write's goroutine sends
	enc      *encoder
	follower *journal.Follower   // nil: we don't replicate to the peer
	record   journal.Record      // the one that is to be sent next
	held     bool                // record has been read and not yet sent
	raw      []byte              // of a marker
	moved    []bookmark.Bookmark // scratch of answers
	floors   []journal.State     // to be sent when the cursor has passed passed; nil: they were
	passed   journal.Position
	trimmed  bool   // retention was faster than the follower
	looping  bool   // the hello is out
	guest    bool   // not write's goroutine has the turn: it must not wait for the connection
	rest     []byte // of what a guest has sent: the connection did not take it at once
	beatDue  bool
	torn     bool // a frame was left unfinished: nothing can follow it
}

func newSender(c *conn) *sender {
	return &sender{c: c, enc: newEncoder(), mine: atonce.NewTurn(), atOnce: atonce.New(c.nc)}
}

func (s *sender) close() {
	if s.follower != nil {
		_ = s.follower.Close()
	}
}

// run returns nil when the connection is done, otherwise why it can't go on.
func (s *sender) run() error {
	select {
	case <-s.c.greet:
	case <-s.c.done:
		return nil
	}
	if err := s.hello(); err != nil {
		return err
	}
	select {
	case <-s.c.up:
	case <-s.c.done:
		return nil
	}
	if s.c.ours.Outbound {
		if err := s.begin(); err != nil {
			return err
		}
	}
	return s.loop()
}

func (s *sender) loop() error {
	ticker := time.NewTicker(s.c.l.o.Heartbeat)
	defer ticker.Stop()
	beat := false
	for {
		busy, err := s.hostTurn(beat)
		if err != nil {
			return err
		}
		var idle chan struct{}
		if busy {
			idle = closedChan
		}
		beat = false
		select {
		case <-s.c.done:
			return nil
		case <-ticker.C:
			beat = true
		default:
			select {
			case <-s.c.done:
				return nil
			case <-ticker.C:
				beat = true
			case <-s.c.wake:
			case <-idle:
			}
		}
	}
}

// closedChan is always ready.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// hello sends our hello and states.
func (s *sender) hello() error {
	s.c.ours.encode(s.enc)
	if err := s.send(); err != nil {
		return err
	}
	states := s.c.ours.States
	for {
		n := min(len(states), statesBatch)
		encodeStates(s.enc, states[:n], n == len(states))
		if err := s.send(); err != nil {
			return err
		}
		if states = states[n:]; len(states) == 0 {
			return nil
		}
	}
}

// begin opens the cursor where the peer's vector says. What is gone is said
// where the cursor passes it: a floor may also come from a marker, before
// which our journal still has records that the peer lacks.
func (s *sender) begin() error {
	j := s.c.l.o.Journal
	if mut.On(mut.R2HelloWithoutHave) {
		s.follower = j.Follow(j.End(), journal.Appended)
		return nil
	}
	s.c.mu.Lock()
	have := s.c.link.Have().Clone()
	s.c.mu.Unlock()
	from, err := j.SeekVector(have)
	if err != nil {
		return fmt.Errorf("looking for where to begin: %w", err)
	}
	s.follower = j.Follow(from, journal.Appended)
	// In this order: what retention removes from now on the follower finds.
	s.floors, s.passed = forgotten(s.c.ours.States, j.States()), j.End()
	return nil
}

// forgotten adds to the states those that our hello told and retention has let
// go of since: the peer waits for them, and gets the floor.
func forgotten(told, now []journal.State) []journal.State {
	known := make(map[uint64]bool, len(now))
	for _, s := range now {
		known[s.Publisher] = true
	}
	for _, s := range told {
		if !known[s.Publisher] {
			s.Floor = s.Have
			now = append(now, s)
		}
	}
	return now
}

// leftOver sends the floors of publishers of whom nothing is left in the
// journal, once the cursor has passed all that was there when it was opened.
func (s *sender) leftOver() error {
	if s.floors == nil || s.follower.Position() < s.passed {
		return nil
	}
	s.c.mu.Lock()
	gone := s.c.link.Floors(s.floors)
	s.c.mu.Unlock()
	s.floors = nil
	if len(gone) == 0 {
		return nil
	}
	return s.gone(gone)
}

// gone sends markers for what retention has removed.
func (s *sender) gone(markers []journal.Record) error {
	s.enc.begin(frameRecords)
	for i := range markers {
		if s.enc.payload() >= batchBytes {
			if err := s.send(); err != nil {
				return err
			}
			s.enc.begin(frameRecords)
		}
		s.c.l.sentGone(&markers[i])
		if err := s.add(&markers[i]); err != nil {
			return err
		}
	}
	return s.send()
}

// sentGone notes a marker whose running CRC isn't known.
func (l *Links) sentGone(r *journal.Record) {
	if r.RunningCRC != 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsure[r.Publisher] = true
}

// add puts a marker that we made into the batch.
func (s *sender) add(r *journal.Record) error {
	raw, err := journal.Encode(s.raw[:0], r)
	if err != nil {
		return err
	}
	s.raw = raw
	s.put(r, raw)
	return nil
}

func (s *sender) put(r *journal.Record, raw []byte) {
	s.enc.bytes(raw)
	s.c.mu.Lock()
	s.c.link.Has(bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence})
	s.c.mu.Unlock()
}

// turn sends what there is, one batch of records at most, and reports whether
// there may be more.
func (s *sender) turn() (busy bool, err error) {
	if err := s.answers(); err != nil {
		return false, err
	}
	if s.beatDue {
		s.beatDue = false
		if err := s.beat(); err != nil {
			return false, err
		}
	}
	if s.follower == nil {
		return false, nil
	}
	if s.trimmed {
		s.trimmed = false
		s.close()
		if err := s.begin(); err != nil {
			return false, err
		}
	}
	sent, more, err := s.batch()
	if err == nil && sent > 0 {
		s.count(sent)
		err = s.send()
	}
	if err == nil {
		err = s.leftOver()
	}
	return more, err
}

// count counts records sent.
func (s *sender) count(n int) {
	s.c.l.mu.Lock()
	defer s.c.l.mu.Unlock()
	s.c.peer.sent += uint64(n)
}

// answers sends what is queued, then what became durable.
func (s *sender) answers() error {
	s.c.l.mu.Lock()
	control := s.c.control
	s.c.control = nil
	moved := s.moved[:0]
	if len(s.c.pending) > 0 {
		for publisher, sequence := range s.c.pending {
			moved = append(moved, bookmark.Bookmark{Publisher: publisher, Sequence: sequence})
		}
		clear(s.c.pending)
	}
	s.c.l.mu.Unlock()
	s.moved = moved

	for _, frame := range control {
		if err := s.bytes(frame); err != nil {
			return err
		}
	}
	if !s.c.theirs.Outbound {
		return nil // who sends nothing has no use for acks
	}
	for part := range slices.Chunk(moved, acksBatch) {
		encodeAck(s.enc, part)
		if err := s.send(); err != nil {
			return err
		}
	}
	return nil
}

// batch fills a frame with the records that come next and reports how many it
// took and whether there may be more.
func (s *sender) batch() (sent int, more bool, err error) {
	s.enc.begin(frameRecords)
	for range scanStep {
		if s.enc.payload() >= batchBytes {
			return sent, true, nil
		}
		if !s.held {
			ok, err := s.follower.Next(&s.record)
			if errors.Is(err, journal.ErrTrimmed) {
				s.trimmed = true // what is in the batch goes first
				return sent, true, nil
			}
			if err != nil {
				return sent, false, fmt.Errorf("reading the journal: %w", err)
			}
			if !ok {
				return sent, false, nil
			}
		}
		n, wait, err := s.next(&s.record)
		sent += n
		if s.held = wait; wait || err != nil {
			return sent, false, err
		}
	}
	return sent, true, nil
}

// next puts a record into the batch as the link decides. wait is true if its
// turn has not come.
func (s *sender) next(r *journal.Record) (sent int, wait bool, err error) {
	if s.c.l.notOwn(r) {
		return 0, false, nil
	}
	switch s.decide(r) {
	case Wait:
		return 0, true, nil
	case Mark:
		marker := elsewhereMarker(r)
		return 1, false, s.add(&marker)
	case Lacks:
		n, err := s.fillIn(r)
		if err != nil {
			return n, false, err
		}
		s.put(r, r.Raw)
		return n + 1, false, nil
	case Send:
		s.enc.bytes(r.Raw)
		return 1, false, nil
	}
	return 0, false, nil
}

func (s *sender) decide(r *journal.Record) Decision {
	d := s.decideAt(r, 0)
	if d == Wait { // now it matters how far it is durable
		d = s.decideAt(r, s.c.l.durable(r.Publisher))
	}
	return d
}

// decideAt also notes that the peer has what is to be sent.
func (s *sender) decideAt(r *journal.Record, durable uint64) Decision {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	d := s.c.link.Decide(r, durable)
	if d == Send {
		s.c.link.Has(bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence})
	}
	return d
}

// fillIn says that what the peer lacks before r is gone, if retention has
// removed it. If that isn't it the peer will refuse r.
func (s *sender) fillIn(r *journal.Record) (sent int, err error) {
	state, _ := s.c.l.o.Journal.State(r.Publisher)
	state.Floor = min(state.Floor, r.Prev) // only up to where r stands
	s.c.mu.Lock()
	gone := s.c.link.Floors([]journal.State{state})
	s.c.mu.Unlock()
	for i := range gone {
		s.c.l.sentGone(&gone[i])
		if err := s.add(&gone[i]); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// notOwn is a planted bug: what came over a link is not given to another one.
func (l *Links) notOwn(r *journal.Record) bool {
	if !mut.On(mut.R2OwnOnly) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.foreign[r.Publisher] >= r.Sequence
}

// beat sends a heartbeat. It also finds what has become durable unnoticed, as
// it may have before Durable was told of it for the first time.
func (s *sender) beat() error {
	c, j := s.c, s.c.l.o.Journal
	b := beat{damaged: j.Damage() != nil}
	c.l.mu.Lock()
	var moved []uint64
	for publisher := range c.beats {
		if len(moved) == beatBatch {
			b.more = true
			break
		}
		moved = append(moved, publisher)
		delete(c.beats, publisher)
	}
	received := c.received.Clone()
	c.l.mu.Unlock()

	slices.Sort(moved)
	for _, publisher := range moved {
		state, _ := j.State(publisher)
		b.moved = append(b.moved, state)
	}
	c.settle(received)
	b.encode(s.enc)
	return s.send()
}

// settle acknowledges what of the records received is durable.
func (c *conn) settle(received bookmark.Vector) {
	for publisher, sequence := range received {
		durable := c.l.durable(publisher)
		if durable < sequence {
			continue
		}
		c.l.mu.Lock()
		c.ackLocked(bookmark.Bookmark{Publisher: publisher, Sequence: durable})
		c.l.mu.Unlock()
		c.signal()
	}
}

// send sends the frame that was built.
func (s *sender) send() error { return s.bytes(s.enc.finish()) }

// bytes writes in steps, each of which must get through before a deadline: a
// slow network is no dead peer.
func (s *sender) bytes(frame []byte) error {
	if s.guest {
		return s.bytesAtOnce(frame)
	}
	for begun := false; len(frame) > 0; begun = true {
		if s.stopped() {
			s.torn = begun
			return nil // the loop ends the next time it looks
		}
		step := frame[:min(len(frame), writeStep)]
		frame = frame[len(step):]
		if err := s.c.nc.SetWriteDeadline(time.Now().Add(Silence(s.c.l.o.Heartbeat))); err != nil {
			return fmt.Errorf("link lost: %w", err)
		}
		if _, err := s.c.nc.Write(step); err != nil {
			return fmt.Errorf("link lost: %w", err)
		}
	}
	return nil
}

// stopped reports whether the connection has been ended.
func (s *sender) stopped() bool {
	select {
	case <-s.c.done:
		return true
	default:
		return false
	}
}
