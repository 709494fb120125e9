package pubstore

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// FileOptions say how a File store behaves. Zero values mean the defaults.
type FileOptions struct {
	MaxMessages int   // bound on what is outstanding; default 4,194,304
	MaxBytes    int64 // the same in bytes (Message.Size); default 1 GiB
	// FailWhenFull has Append return ErrFull at the bound instead of waiting.
	FailWhenFull bool
	MaxMessage   int // largest message in bytes; default 16 MiB, and never more than MaxBytes

	// SyncInterval is how long at most what was appended waits until it is
	// safe against a power cut too. Default 10ms. Negative: until Sync or
	// Close, and the store starts no goroutine.
	SyncInterval time.Duration
	// SyncAlways has Append return only when its message is safe against a
	// power cut. Appends that wait at the same time share one sync.
	SyncAlways bool
	// SegmentBytes is the size of the files the store is made of, each of
	// which is reserved on the disk when it is made, and goes once all in it was
	// let go. As much is kept as a reserve, on which a store is opened when its disk
	// is full. So an empty store takes twice as much. Default 16 MiB.
	SegmentBytes int64

	// AcceptDamage opens a store that OpenFile refuses with a *DamagedError:
	// the messages that can't be read any more are given up, all others
	// are kept, and a new life begins. Do so while the pair is in sync: if one
	// instance alone has what was given up, and the publisher goes on with the
	// other while they are cut off from each other, they end up different.
	AcceptDamage bool

	// BootID names the current run of the machine, see R10. Default: the system's.
	BootID func() (string, error)
	// NewLife names a life that begins, a name never given before, and a secret
	// (R10). Default: 130 random bits.
	NewLife func() string
	// FS is the disk. Default: the system's.
	FS seglog.FS
}

// File is a Store in a directory of its own. What Append has returned survives
// the death of the process, after SyncInterval (or with SyncAlways at once)
// a power cut too. What it holds in memory is small: 16 bytes for each message
// outstanding, and the newest messages.
type File struct {
	desk
	changer
	dir        string
	log        *seglog.Log
	syncAlways bool
	segment    int64
	givenUp    int // messages that opening a damaged store gave up

	// visible is the position behind which messages are not in the store
	// yet: their Append has not returned, and nobody may see them. Guarded by mu.
	visible uint64

	committer

	// These are guarded by mu, as is appending to the log.
	dirty   bool              // lazy was set since the last commit began
	durable seglog.Position   // what is before it is safe against a power cut
	synced  sync.Cond         // durable has moved, or the store has failed
	logged  map[uint64]uint64 // by publisher: acked as the log says
	left    bool              // a life has left that the log still has
	encoder encoder
	prefix  []byte    // a record but for its body, used again
	parts   [2][]byte // the same for the record
}

// A committer is what the calls of a store and its goroutine tell each other.
type committer struct {
	interval time.Duration  // negative: there is no goroutine
	urgent   signal.Signal  // someone waits for a sync
	lazy     signal.Signal  // there is something to sync within the interval
	stop     chan struct{}  // closed to end the goroutine
	done     chan struct{}  // closed when it has ended
	inFlight sync.WaitGroup // calls between mu and the disk
	closing  bool           // Close was called; guarded by the mu of the store
	closed   chan struct{}  // closed when Close has ended
	// committing is held, before mu, by who commits in a store without a goroutine.
	committing sync.Mutex
}

var _ Store = (*File)(nil)

// Append implements Store.
func (s *File) Append(ctx context.Context, m *Message) (uint64, error) {
	if err := s.admit(ctx, m); err != nil {
		return 0, err
	}
	pos, kept, err := s.appendLocked(m)
	if err != nil {
		defer s.mu.Unlock()
		return 0, s.failLocked(err)
	}
	sequence := m.Sequence
	s.dirtyLocked()
	if kept = kept && !s.syncAlways; kept {
		s.showLocked(pos)
	} else {
		s.inFlight.Add(1)
	}
	s.mu.Unlock()

	if !kept {
		if err := s.keep(pos); err != nil {
			return 0, err
		}
	}
	s.signal()
	return sequence, nil
}

// keep returns once the record at pos survives the death of the process, or a power
// cut if the store is to sync always, and has cursors see it.
func (s *File) keep(pos seglog.Position) error {
	defer s.inFlight.Done()
	if s.syncAlways && !mut.On(mut.DAckBeforeSync) {
		if err := s.waitDurable(pos); err != nil {
			return err
		}
	} else if err := s.log.Keep(pos); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	s.showLocked(pos)
	s.mu.Unlock()
	return nil
}

// appendLocked numbers m and puts it into the log's memory.
func (s *File) appendLocked(m *Message) (pos seglog.Position, kept bool, err error) {
	w := s.ledger.current()
	m.Publisher, m.Sequence, m.Time = w.publisher, w.last+1, s.now.time()
	prefix, err := s.encoder.append(s.prefix[:0], m)
	if err != nil {
		return 0, false, err
	}
	s.prefix = prefix
	s.parts = [2][]byte{s.prefix, m.Body}
	pos, kept, err = s.log.AppendKept(kindMessage, summedHead(prefix), s.encoder.sum, s.parts[:]...)
	s.parts[1] = nil
	if err != nil {
		return 0, false, err
	}
	w.append(uint64(pos), m.Size(), m.Time.UnixMilli())
	s.disk.take(m.Size())
	return pos, kept, nil
}

// showLocked lets cursors see all up to the record at pos.
func (s *File) showLocked(pos seglog.Position) { s.visible = max(s.visible, uint64(pos)+1) }

// recordLocked logs a change of the state and returns once it survives the death of
// the process. It is called with mu held and gives it up.
func (s *File) recordLocked(kind uint8, payload []byte) error {
	pos, err := s.log.Append(kind, payload)
	if err != nil {
		defer s.mu.Unlock()
		return s.failLocked(err)
	}
	s.inFlight.Add(1)
	defer s.inFlight.Done()
	s.dirtyLocked()
	s.mu.Unlock()
	if err := s.log.Keep(pos); err != nil {
		return s.fail(err)
	}
	return nil
}

// keepChange changes the state, and returns once that survives the death of the process.
func (s *File) keepChange(f func(*ledger) error) error {
	s.mu.Lock()
	err := s.ended
	if err == nil {
		err = f(&s.ledger)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	return s.recordLocked(kindState, s.ledger.encodeState())
}

// Discard implements Store. It reaches the disk a little later; after a kill in
// between the messages are there again, and let go again.
func (s *File) Discard(life string, through uint64) error {
	return s.useLife(life, func(w *window) {
		lives := len(s.ledger.lives)
		if s.ledger.discard(w, through) {
			s.left = s.left || len(s.ledger.lives) < lives
			s.line.wake()
			s.dirtyLocked()
		}
	})
}

// Reject implements Store. It survives the death of the process.
func (s *File) Reject(life string, sequence uint64) error {
	s.mu.Lock()
	if s.ended != nil {
		defer s.mu.Unlock()
		return s.ended
	}
	w, lives := s.ledger.life(life), len(s.ledger.lives)
	if w == nil || !s.ledger.reject(w, sequence) {
		s.mu.Unlock()
		return nil
	}
	s.line.wake()
	if len(s.ledger.lives) < lives {
		// Its life has left, which a segment that begins with this record knows nothing of.
		s.left = true
		return s.recordLocked(kindState, s.ledger.encodeState())
	}
	return s.recordLocked(kindReject, appendMark(nil, w.publisher, sequence))
}

// Get implements Store.
func (s *File) Get(life string, sequence uint64) (*Message, error) {
	c, err := s.Cursor(life, sequence-1)
	if err == nil {
		defer c.Close()
	}
	m, err := only(c, err, sequence)
	if err != nil {
		return nil, err
	}
	m.Body = slices.Clone(m.Body)
	return m, nil
}

// fail puts the store out of use for good and returns why.
func (s *File) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failLocked(err)
}

func (s *File) failLocked(err error) error {
	s.endLocked(&FailedError{Path: s.dir, Err: err})
	s.signal() // so that the client looks, and learns of it
	s.synced.Broadcast()
	return s.ended
}

// Close implements Store.
func (s *File) Close() error {
	return s.close(&s.committer, func(err error) error {
		if err == nil {
			err = s.finish()
		}
		if err != nil {
			s.log.Abandon()
		}
		return err
	})
}

// finish records that the store was closed cleanly, durable like all before it.
func (s *File) finish() error {
	s.mu.Lock()
	s.ledger.closed = true
	_, err := s.log.Append(kindState, s.ledger.encodeState())
	s.mu.Unlock()
	if err == nil {
		err = s.log.Close()
	}
	if err != nil {
		return s.failClosing(&FailedError{Path: s.dir, Err: err})
	}
	return nil
}

// GivenUp returns how many messages were given up when the store was opened
// with AcceptDamage. What is lost with the record of a Renew is not counted.
func (s *File) GivenUp() int { return s.givenUp }

// slashed is the form of a path that seglog takes.
func slashed(dir string) string { return filepath.ToSlash(filepath.Clean(dir)) }
