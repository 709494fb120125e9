package pubstore

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
)

// FileOptions configure a File store. Zero values mean the defaults.
type FileOptions struct {
	MaxMessages int   // bound on the messages in the store; default 4,194,304
	MaxBytes    int64 // bound on their size in bytes (Message.Size); default 1 GiB
	// FailWhenFull makes Append return ErrFull at the bound instead of waiting.
	FailWhenFull bool
	MaxMessage   int // largest message in bytes; default 16 MiB, at most MaxBytes

	// SyncInterval bounds the time until an appended message survives a power cut. Default 10ms.
	// If it is negative, the store starts no goroutine, and an appended message survives a power
	// cut only after Sync or Close.
	SyncInterval time.Duration
	// SyncAlways makes Append return only when its message survives a power cut. Concurrent
	// Appends share one sync.
	SyncAlways bool
	// SegmentBytes is the size of one file of the store. The space of a file is allocated when
	// the file is created. A file is deleted once all its messages have left the store. The store
	// keeps a reserve file of the same size, so that it can be opened when the disk is full. An
	// empty store therefore takes twice SegmentBytes. Default 16 MiB.
	SegmentBytes int64

	// AcceptDamage opens a store that OpenFile refuses with a *DamagedError. Unreadable messages
	// are given up, all others are kept, and a new life begins. Use it while the pair is in sync.
	// Otherwise the two instances can end up with different messages: one of them alone has the
	// messages that were given up, and the publisher goes on at the other one while the link
	// between them is cut.
	AcceptDamage bool

	// BootID returns an id of the current boot of the machine. If the store was not closed and this
	// id has changed or is unavailable, the newest messages may be missing. Opening then begins a
	// new life, so that no number is used twice. Default: the system's.
	BootID func() (string, error)
	// NewLife returns an id for a new life. It must be unique, and secret because whoever knows it
	// can publish as this store. Default: 130 random bits.
	NewLife func() string

	fs seglog.FS // default: the system's; tests set it through internal/testdoor
}

func init() {
	testdoor.OffersDisk(func(o *FileOptions) *seglog.FS { return &o.fs })
}

// File is a Store in a directory of its own. When Append has returned, the message survives a
// crash of the process. It survives a power cut after SyncInterval, or at once with SyncAlways.
// File needs little memory: 16 bytes for each message in the store, and a buffer with the newest
// messages.
type File struct {
	storeBase
	stateChanger
	dir        string
	log        *seglog.Log
	syncAlways bool
	segment    int64
	givenUp    int // number of messages given up at opening

	// visible is the end of the log for cursors. A message at or after it must not be read yet,
	// since its Append has not returned. Guarded by mu.
	visible uint64

	committer

	// The fields below are guarded by mu, as is appending to the log.
	dirty       bool              // lazy was set since the last commit began
	durable     seglog.Position   // records before it survive a power cut
	synced      sync.Cond         // broadcast when durable moves or the store fails
	loggedAcked map[uint64]uint64 // by publisher: acked as recorded in the log
	lifePruned  bool              // a life was pruned, and the log does not record that yet
	encoder     encoder
	prefix      []byte    // scratch: a record without its body
	parts       [2][]byte // scratch: the parts of a record
}

// A committer connects the methods of a store with its committing goroutine.
type committer struct {
	interval time.Duration  // negative: there is no goroutine
	urgent   signal.Signal  // a caller waits for a sync
	lazy     signal.Signal  // there is something to sync within the interval
	stop     chan struct{}  // closed to end the goroutine
	done     chan struct{}  // closed when the goroutine has ended
	inFlight sync.WaitGroup // calls that have unlocked mu and still use the disk
	closing  bool           // Close was called; guarded by mu of the store
	closed   chan struct{}  // closed when Close has ended
	// committing serializes commits in a store without a goroutine. Lock it before mu.
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
	s.scheduleCommitLocked()
	if kept = kept && !s.syncAlways; kept {
		s.makeVisibleLocked(pos)
	} else {
		s.inFlight.Add(1)
	}
	s.mu.Unlock()

	if !kept {
		if err := s.finishAppend(pos); err != nil {
			return 0, err
		}
	}
	s.signalAppended()
	return sequence, nil
}

// finishAppend returns once the record at pos survives a crash of the process, or a power cut with
// SyncAlways. Then it makes the record visible to cursors.
func (s *File) finishAppend(pos seglog.Position) error {
	defer s.inFlight.Done()
	if s.syncAlways && !failpoint.On(failpoint.DAckBeforeSync) {
		if err := s.waitDurable(pos); err != nil {
			return err
		}
	} else if err := s.log.Keep(pos); err != nil {
		return s.fail(err)
	}
	s.mu.Lock()
	s.makeVisibleLocked(pos)
	s.mu.Unlock()
	return nil
}

// appendLocked assigns the sequence of m and appends m to the log's buffer.
func (s *File) appendLocked(m *Message) (pos seglog.Position, kept bool, err error) {
	l := s.state.current()
	m.Publisher, m.Sequence, m.Time = l.publisher, l.last+1, s.clock.now()
	prefix, err := s.encoder.append(s.prefix[:0], m)
	if err != nil {
		return 0, false, err
	}
	s.prefix = prefix
	s.parts = [2][]byte{s.prefix, m.Body}
	pos, kept, err = s.log.AppendKept(kindMessage, headLen(prefix), s.encoder.sum, s.parts[:]...)
	s.parts[1] = nil
	if err != nil {
		return 0, false, err
	}
	s.state.append(l, uint64(pos), m.Size(), m.Time.UnixMilli())
	s.disk.subtract(m.Size())
	return pos, kept, nil
}

// makeVisibleLocked makes the log visible to cursors up to and including the record at pos.
func (s *File) makeVisibleLocked(pos seglog.Position) { s.visible = max(s.visible, uint64(pos)+1) }

// logChangeLocked logs a change of the state and returns once it survives a crash of the process.
// The caller holds mu; logChangeLocked unlocks it.
func (s *File) logChangeLocked(kind uint8, payload []byte) error {
	pos, err := s.log.Append(kind, payload)
	if err != nil {
		defer s.mu.Unlock()
		return s.failLocked(err)
	}
	s.inFlight.Add(1)
	defer s.inFlight.Done()
	s.scheduleCommitLocked()
	s.mu.Unlock()
	if err := s.log.Keep(pos); err != nil {
		return s.fail(err)
	}
	return nil
}

// changeState changes the state and returns once the change survives a crash of the process.
func (s *File) changeState(f func(*storeState) error) error {
	s.mu.Lock()
	err := s.endErr
	if err == nil {
		err = f(&s.state)
	}
	if err != nil {
		s.mu.Unlock()
		return err
	}
	return s.logChangeLocked(kindState, s.state.encode())
}

// Discard implements Store. The discard reaches the disk a little later. After a crash in between,
// the store still has the messages, and the client discards them again.
func (s *File) Discard(life string, through uint64) error {
	return s.withLife(life, func(l *lifeState) {
		lives := len(s.state.lives)
		if s.state.discard(l, through) {
			s.lifePruned = s.lifePruned || len(s.state.lives) < lives
			s.waiting.wakeFirst()
			s.scheduleCommitLocked()
		}
	})
}

// Reject implements Store. The rejection survives a crash of the process.
func (s *File) Reject(life string, sequence uint64) error {
	s.mu.Lock()
	if s.endErr != nil {
		defer s.mu.Unlock()
		return s.endErr
	}
	l, lives := s.state.life(life), len(s.state.lives)
	if l == nil || !s.state.reject(l, sequence) {
		s.mu.Unlock()
		return nil
	}
	s.waiting.wakeFirst()
	if len(s.state.lives) < lives {
		// The life was pruned. If a new segment begins with this record, its head no longer names
		// the life.
		s.lifePruned = true
		return s.logChangeLocked(kindState, s.state.encode())
	}
	return s.logChangeLocked(kindReject, appendIdentity(nil, l.publisher, sequence))
}

// Get implements Store.
func (s *File) Get(life string, sequence uint64) (*Message, error) {
	c, err := s.Cursor(life, sequence-1)
	if err == nil {
		defer c.Close()
	}
	m, err := readOne(c, err, sequence)
	if err != nil {
		return nil, err
	}
	m.Body, m.Headers = slices.Clone(m.Body), m.Headers.Clone()
	return m, nil
}

// fail puts the store into the failed state for good and returns the error for later calls.
func (s *File) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failLocked(err)
}

func (s *File) failLocked(err error) error {
	s.endLocked(&FailedError{Path: s.dir, Err: err})
	s.signalAppended() // so that the client reads its cursor and sees the error
	s.synced.Broadcast()
	return s.endErr
}

// Close implements Store. It is the end of the store's goroutines and of its lock on the directory.
func (s *File) Close() error {
	return s.close(&s.committer, func(err error) error {
		if err == nil {
			err = s.logClosed()
		}
		if err != nil {
			s.log.Abandon()
		}
		return err
	})
}

// logClosed records durably that the store was closed cleanly.
func (s *File) logClosed() error {
	s.mu.Lock()
	s.state.closed = true
	_, err := s.log.Append(kindState, s.state.encode())
	s.mu.Unlock()
	if err == nil {
		err = s.log.Close()
	}
	if err != nil {
		return s.failDuringClose(&FailedError{Path: s.dir, Err: err})
	}
	return nil
}

// GivenUp returns the number of messages that were given up when the store was opened with
// AcceptDamage. It does not count the messages of a life whose Renew record was lost.
func (s *File) GivenUp() int { return s.givenUp }

// slashPath converts a path to the form that seglog takes.
func slashPath(dir string) string { return filepath.ToSlash(filepath.Clean(dir)) }
