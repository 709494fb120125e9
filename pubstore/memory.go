package pubstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/intern"
)

// MemoryOptions configure a Memory store. Zero values mean the defaults.
type MemoryOptions struct {
	MaxMessages int   // bound on the messages in the store; default 100,000
	MaxBytes    int64 // bound on their size in bytes (Message.Size); default 64 MiB
	// FailWhenFull makes Append return ErrFull at the bound instead of waiting.
	FailWhenFull bool
	MaxMessage   int // largest message in bytes; default 16 MiB, at most MaxBytes

	// NewLife returns an id for a new life. It must be unique, and secret because whoever knows it
	// can publish as this store. Default: 130 random bits.
	NewLife func() string
}

// Memory is a Store in memory. It survives a lost connection and a server failure, but not the end
// of the process. Each new Memory begins a new life and is therefore a new publisher.
type Memory struct {
	storeBase
	stateChanger
	arena arena // guarded by mu
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store. If the options are invalid, every method with an error result
// returns an error that names the field. client.Dial then fails with that error.
func NewMemory(o MemoryOptions) *Memory {
	s := new(Memory)
	s.stateChanger = newStateChanger(s.withState, o.NewLife)
	s.applyLimits(limits{
		messages: o.MaxMessages, defaultMessages: 100_000,
		bytes: o.MaxBytes, defaultBytes: 64 << 20,
		message: o.MaxMessage, failWhenFull: o.FailWhenFull,
	})
	s.state.onDrop = s.arena.drop
	id := s.newLife()
	if failpoint.On(failpoint.R10SameLife) {
		id = "same"
	}
	s.state.recordOpen("", id)
	if err := checkLimits(o.MaxMessages, o.MaxBytes, o.MaxMessage); err != nil {
		s.endLocked(err) // no other goroutine has the store yet
	}
	return s
}

// Append implements Store.
func (s *Memory) Append(ctx context.Context, m *Message) (uint64, error) {
	if err := s.admit(ctx, m); err != nil {
		return 0, err
	}
	l := s.state.current()
	m.Publisher, m.Sequence, m.Time = l.publisher, l.last+1, s.clock.now()
	pos, err := s.arena.add(m)
	if err != nil {
		s.mu.Unlock()
		return 0, fmt.Errorf("publish store: %w", err)
	}
	s.state.append(l, pos, m.Size(), m.Time.UnixMilli())
	s.mu.Unlock()
	s.signalAppended()
	return m.Sequence, nil
}

// Cursor implements Store.
func (s *Memory) Cursor(life string, after uint64) (Cursor, error) {
	l, err := s.lifeToRead(life)
	if err != nil {
		return nil, err
	}
	return &memoryCursor{s: s, life: l, at: after}, nil
}

// A memoryCursor copies each message that it returns, since the arena may reuse its memory.
type memoryCursor struct {
	s    *Memory
	life *lifeState // guarded by s.mu
	at   uint64     // the sequence last returned
	buf  []byte
	in   intern.Table
}

// maxIdleBuffer is the size up to which a cursor keeps its buffer for the next message.
const maxIdleBuffer = 1 << 20

func (c *memoryCursor) Next(m *Message) (bool, error) {
	prev, ok, err := c.copyNext()
	if !ok || err != nil {
		return false, err
	}
	if err := decodeRecord(c.buf, m, &c.in); err != nil {
		panic("BUG: a record in memory: " + err.Error())
	}
	m.Prev = prev
	return true, nil
}

func (c *memoryCursor) copyNext() (prev uint64, ok bool, err error) {
	if cap(c.buf) > maxIdleBuffer {
		c.buf = nil
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.endErr != nil {
		return 0, false, c.s.endErr
	}
	seq := c.life.next(c.at)
	if seq == 0 {
		return 0, false, nil
	}
	c.buf = append(c.buf[:0], c.s.arena.get(*c.life.slots.at(seq))...)
	c.at = seq
	return c.life.prev(seq), true, nil
}

func (c *memoryCursor) Close() error { return nil }

// Discard implements Store.
func (s *Memory) Discard(life string, through uint64) error {
	return s.withLife(life, func(l *lifeState) {
		if s.state.discard(l, through) {
			s.waiting.wakeFirst()
		}
	})
}

// Reject implements Store.
func (s *Memory) Reject(life string, sequence uint64) error {
	return s.withLife(life, func(l *lifeState) {
		if s.state.reject(l, sequence) {
			s.waiting.wakeFirst()
		}
	})
}

// Get implements Store.
func (s *Memory) Get(life string, sequence uint64) (*Message, error) {
	c, err := s.Cursor(life, sequence-1)
	return readOne(c, err, sequence)
}

// Close implements Store. All messages are lost. A second call does nothing and returns nil.
func (s *Memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(ErrClosed)
	s.arena = arena{}
	if !errors.Is(s.endErr, ErrClosed) {
		return s.endErr // the options are invalid
	}
	return nil
}
