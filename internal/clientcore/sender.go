package clientcore

import (
	"fmt"
	"math"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// batchBytes is the limit on the frame of a batch. If a server has to wait before it takes the
// first message of a batch, all messages of the batch wait.
const batchBytes = 64 << 10

// A Window limits the messages in flight. The Session implements it; a driver may add a lock.
type Window interface {
	// Room reports whether another message may be sent.
	Room() bool
	// Reserve records that consecutive messages of the given sizes are about to be sent, as far
	// as the window has room for them. It is called when there is room. n is the number of
	// messages that may be sent, at least one. onWire is the sequence of the first one on the
	// wire. resent is the number of messages that may have been sent before. room reports
	// whether the window has room for more.
	Reserve(first uint64, sizes []int) (onWire uint64, n, resent int, room bool)
	// Exhausted records that the store has nothing more to send at the moment. lives are the
	// store's lives. If reread is true, the sender has to read the store once more.
	Exhausted(lives []pubstore.Life) (reread bool)
	// MayLeaveOut reports whether the server knows that a range of sequences, both ends
	// included, was rejected.
	MayLeaveOut(from, to uint64) bool
	// Refuse records that a message cannot be sent to this server, and rejects it: the application
	// is told, as of a rejection by a server. It is called when there is room.
	Refuse(sequence uint64, bytes int, cause error) (Event, error)
	// ReplayDone is called once, when all messages that may have been sent before were sent
	// again. resent is their number.
	ReplayDone(resent int)
}

// A bufferedCursor is a pubstore.Cursor that can return several messages at once, as bytes.
type bufferedCursor interface {
	// Buffered returns the next messages that the cursor has read already. The result is valid
	// until the next call.
	Buffered() []record.OrdinaryMessage
	// Skip moves the cursor past the first n messages that Buffered returned.
	Skip(n int)
}

// A Sender encodes the messages of the publish store, in order. One cursor returns new and
// replayed messages, so a new message cannot overtake a replayed one (R1). A Sender is not safe
// for concurrent use.
type Sender struct {
	window     Window
	store      pubstore.Store
	cursor     pubstore.Cursor
	plain      bool // the server lacks our extensions
	noHeaders  bool // send messages to a plain server without their headers
	publisher  uint64
	maxBatch   int    // limit on the frame of a batch; 0: messages are sent one by one
	batchStart int    // offset of the batch that is being filled; -1: none
	replayTo   uint64 // highest sequence that may have been sent before this connection
	replayed   bool   // everything up to replayTo was sent again
	resent     int
	message    pubstore.Message // scratch: the message to send
	record     []byte           // scratch
	sizes      []int
}

// Close closes the cursor.
func (s *Sender) Close() { s.cursor.Close() }

// Fill appends publishes until dst has limit bytes, the store has no more, or the window is
// full.
func (s *Sender) Fill(dst []byte, limit int) ([]byte, error) {
	s.batchStart = -1
	dst, err := s.fill(dst, limit)
	return s.endBatch(dst), err
}

func (s *Sender) fill(dst []byte, limit int) ([]byte, error) {
	for room := s.window.Room(); room && len(dst) < limit; {
		found, err := s.cursor.Next(&s.message)
		if err != nil {
			return dst, fmt.Errorf("read publish store: %w", err)
		}
		if !found {
			s.replayDone()
			if s.window.Exhausted(s.store.Lives()) {
				continue
			}
			break
		}
		if s.message.Sequence > s.replayTo {
			s.replayDone()
		}
		if m := &s.message; !s.plain && m.Prev+1 < m.Sequence && !s.window.MayLeaveOut(m.Prev+1, m.Sequence-1) {
			return dst, ErrRestate
		}
		if s.plain {
			if refused, err := s.refuse(); err != nil {
				return dst, err
			} else if refused {
				room = s.window.Room()
				continue
			}
		}
		s.sizes = append(s.sizes[:0], s.message.Size())
		onWire, _, resent, hasRoom := s.window.Reserve(s.message.Sequence, s.sizes)
		s.resent += resent
		if dst, err = s.append(dst, onWire); err != nil {
			return dst, err
		}
		if room = hasRoom; room && s.replayed && s.batchStart >= 0 {
			dst, room = s.appendBuffered(dst)
		}
	}
	return dst, nil
}

func (s *Sender) replayDone() {
	if !s.replayed {
		s.replayed = true
		s.window.ReplayDone(s.resent)
	}
}

// append appends the next message to a batch, or as a publish command if it does not fit into
// one. A server whose limit is lower reads only the header of the publish and rejects the
// message.
func (s *Sender) append(dst []byte, sequence uint64) ([]byte, error) {
	if s.maxBatch == 0 {
		return s.appendPublish(dst, sequence), nil
	}
	s.plantHeaders(&s.message)
	raw, err := s.recordOf(&s.message)
	if err != nil {
		return dst, fmt.Errorf("message %d: %w", s.message.Sequence, err)
	}
	n := record.LengthLen + len(raw)
	if s.batchStart >= 0 && len(dst)-s.batchStart+n > s.maxBatch {
		dst = s.endBatch(dst)
	}
	if wire.BatchOverhead+n > s.maxBatch {
		return s.appendPublish(dst, sequence), nil
	}
	if s.batchStart < 0 {
		s.batchStart = len(dst)
		dst = wire.BeginBatch(dst)
	}
	return record.AppendFramed(dst, raw), nil
}

// appendBuffered fills the batch with messages that the cursor has read already.
func (s *Sender) appendBuffered(dst []byte) (out []byte, room bool) {
	cursor, ok := s.cursor.(bufferedCursor)
	if !ok {
		return dst, true
	}
	run := cursor.Buffered()
	s.sizes = s.sizes[:0]
	for space := s.maxBatch - (len(dst) - s.batchStart); len(s.sizes) < len(run); {
		n := len(run[len(s.sizes)])
		if space -= record.LengthLen + n; space < 0 {
			break
		}
		s.sizes = append(s.sizes, n-record.MinLen)
	}
	if len(s.sizes) == 0 {
		return dst, true
	}
	_, n, resent, room := s.window.Reserve(run[0].Sequence(), s.sizes)
	for _, m := range run[:n] {
		dst = record.AppendFramed(dst, m)
	}
	s.resent += resent
	cursor.Skip(n)
	return dst, room
}

// endBatch completes the batch that is being filled, if there is one.
func (s *Sender) endBatch(dst []byte) []byte {
	if s.batchStart >= 0 {
		wire.EndBatch(dst, s.batchStart)
		s.batchStart = -1
	}
	return dst
}

// recordOf returns the record of a message, from the store if the store keeps records.
func (s *Sender) recordOf(m *pubstore.Message) ([]byte, error) {
	if raw := m.Record(); raw != nil && !failpoint.On(failpoint.HeadersLostOnResend) && !failpoint.On(failpoint.HeadersOfAnother) {
		return raw, nil
	}
	raw, err := record.Append(s.record[:0], &record.Record{
		Kind: record.Message, Publisher: s.publisher, Sequence: m.Sequence, Prev: m.Sequence - 1,
		Topic: []byte(m.Topic), Body: m.Body, CorrelationID: []byte(m.CorrelationID), SOWKey: []byte(m.SOWKey),
		Expiration: uint32(min(m.Expiration/time.Second, math.MaxUint32)), Delta: m.Delta, Headers: m.Headers.Encoded(),
	})
	s.record = raw
	return raw, err
}

// appendPublish appends the next message as a publish command.
func (s *Sender) appendPublish(dst []byte, sequence uint64) []byte {
	dst = s.endBatch(dst)
	m := &s.message
	p := wire.PublishCommand{
		Delta:         m.Delta,
		Topic:         m.Topic,
		Acks:          wire.AckPersisted,
		Sequence:      sequence,
		SequenceID:    s.plain,
		CorrelationID: m.CorrelationID,
		SOWKey:        m.SOWKey,
		Body:          m.Body,
	}
	if !s.plain {
		p.Headers = m.Headers.Encoded()
	}
	if m.Expiration > 0 {
		p.Expiration, p.HasExpiration = uint64(max(m.Expiration/time.Second, 1)), true
	}
	return p.AppendTo(dst)
}
