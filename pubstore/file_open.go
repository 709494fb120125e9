package pubstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// These are the kinds of records in the log of a File. The head of each segment also holds the
// state (stateformat.go), after headMagic. So an older segment is needed only for its messages.
const (
	kindMessage = 0x10 // record.go
	kindState   = 0x11 // stateformat.go: replaces the whole state
	kindDiscard = 0x12 // publisher and highest discarded sequence
	kindReject  = 0x13 // publisher and sequence of a rejected message
)

// headMagic distinguishes a publish store from other logs, such as a server's journal.
const headMagic = "hfspubstore"

// ErrNotStore means that a directory or bucket holds no publish store.
var ErrNotStore = errors.New("not a publish store")

// The payload of kindDiscard and kindReject is an identity: publisher and sequence, 8 bytes each,
// little endian.
const identitySize = 16

func appendIdentity(dst []byte, publisher, seq uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, publisher), seq)
}

func decodeIdentity(p []byte) (publisher, seq uint64, err error) {
	if len(p) != identitySize {
		return 0, 0, errState
	}
	return binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]), nil
}

// A DamagedError means that the disk has lost or changed messages that were once durable. (A torn
// end is not damage and is cut off silently.) AcceptDamage opens a damaged store all the same
// (FileOptions, BoltOptions). For a Bolt store the damage is in the database or in the bucket. Do
// not restore an older copy instead: the messages that it lacks are lost unless a server has them,
// and the client has to begin a new life.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return "publish store " + e.Path + " is damaged: " + e.Err.Error()
}
func (e *DamagedError) Unwrap() error { return e.Err }

// A VersionError means that a later version of this package has written the store. The store was
// not changed. Open it with that version or a later one.
type VersionError struct {
	Path string
	Err  error
}

func (e *VersionError) Error() string {
	return "publish store " + e.Path + " was written by a newer version: " + e.Err.Error() + "; the store is unchanged: open it with that version"
}
func (e *VersionError) Unwrap() error { return e.Err }

// asVersionError returns a *VersionError if err is about a later version of the format, and nil
// otherwise.
func asVersionError(path string, err error) error {
	if newer, ok := errors.AsType[*fileversion.VersionError](err); ok {
		return &VersionError{Path: path, Err: newer}
	}
	return nil
}

// OpenFile opens the store in dir and creates it if needed. The error is ErrLocked if another
// process has it open, ErrNotStore if dir holds something else, a *DamagedError if messages of
// the store are unreadable, and a *VersionError if a later version of this package has written
// it.
func OpenFile(dir string, o FileOptions) (*File, error) {
	o.fs = cmp.Or(o.fs, seglog.OS)
	var cutAt seglog.Position
	for {
		s, err := openFile(dir, o)
		var d *seglog.DamageError
		switch {
		case o.AcceptDamage && errors.As(err, &d) && d.Position != cutAt:
			cutAt = d.Position // the log has recorded this damage, and the next opening cuts it there
		case errors.Is(err, syscall.ENOSPC) && seglog.DropReserve(o.fs, slashPath(dir)):
		default:
			return s, err
		}
	}
}

// measureSpace returns the number of bytes that messages may still take. It creates the reserve
// file if there is none and the disk has room for it: opening a store after a crash takes up to a
// segment.
func (s *File) measureSpace(disk seglog.FS) (int64, error) {
	reserveSize, spare := s.segment+diskSpare, int64(diskSpare)
	switch err := seglog.KeepReserve(disk, slashPath(s.dir), reserveSize); {
	case errors.Is(err, syscall.ENOSPC):
		spare += reserveSize
	case err != nil:
		return 0, s.fail(err)
	}
	free, _, err := disk.Space(slashPath(s.dir))
	return free + s.log.Room() - spare, err
}

const (
	// recordRoom is more than a record needs in addition to the size of its message.
	recordRoom = 64 << 10
	// maxRecord is the length of the longest record that a store may hold. MaxMessage limits only
	// new messages; the store may hold larger ones from before.
	maxRecord = 1 << 30
)

func openFile(dir string, o FileOptions) (*File, error) {
	if err := o.check(dir); err != nil {
		return nil, err
	}
	s := newFile(dir, &o)
	var err error
	s.log, err = seglog.Open(seglog.Options{
		FS: o.fs, Dir: slashPath(dir), Owner: (*fileOwner)(s),
		SegmentBytes: s.segment, MaxRecord: max(s.maxMessage+recordRoom, maxRecord),
		CheckHead: checkHead, SetAside: o.AcceptDamage, StageBytes: stageBytes(o.SyncAlways),
	})
	if err != nil {
		return nil, s.openError(err)
	}
	if err := s.recover(currentBoot(o.BootID), o.AcceptDamage); err != nil {
		s.log.Abandon()
		return nil, s.openError(err)
	}
	s.disk.measure = func() (int64, error) { return s.measureSpace(o.fs) }
	s.disk.refresh()
	if err := s.diskError(); err != nil {
		s.log.Abandon()
		return nil, err
	}
	if s.interval < 0 {
		close(s.done)
		return s, nil
	}
	go s.commitLoop()
	return s, nil
}

// stageBytes returns the size of the log's stage. An append is copied to the stage without a
// system call, and several appends are written together later. A write waits for a running sync;
// the stage is large enough that it rarely fills up during one. A store that syncs each message has
// no use for a stage.
func stageBytes(syncAlways bool) int {
	if syncAlways {
		return 0
	}
	return 1 << 20
}

// check returns an error that names the first invalid option.
func (o *FileOptions) check(dir string) error {
	if dir == "" {
		return errors.New("publish store: OpenFile needs a directory")
	}
	return cmp.Or(
		checkLimits(o.MaxMessages, o.MaxBytes, o.MaxMessage),
		checkNotNegative("SegmentBytes", o.SegmentBytes),
	)
}

// newCommitter returns a committer with an interval; 0 means the default.
func newCommitter(interval time.Duration) committer {
	return committer{
		interval: cmp.Or(interval, 10*time.Millisecond), urgent: signal.New(), lazy: signal.New(),
		stop: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}),
	}
}

func newFile(dir string, o *FileOptions) *File {
	s := &File{
		dir: dir, syncAlways: o.SyncAlways,
		segment:     orDefault(o.SegmentBytes, 16<<20),
		committer:   newCommitter(o.SyncInterval),
		loggedAcked: make(map[uint64]uint64),
	}
	s.synced.L = &s.mu
	s.stateChanger = newStateChanger(s.changeState, o.NewLife)
	s.applyLimits(limits{
		messages: o.MaxMessages, defaultMessages: defaultStoreMessages,
		bytes: o.MaxBytes, defaultBytes: defaultStoreBytes,
		message: o.MaxMessage, failWhenFull: o.FailWhenFull,
	})
	return s
}

func (s *File) openError(err error) error {
	var damage *seglog.DamageError
	var damaged *DamagedError
	versionErr := asVersionError(s.dir, err)
	switch {
	case versionErr != nil:
		return versionErr
	case errors.Is(err, ErrNotStore):
		return fmt.Errorf("open %s: %w", s.dir, ErrNotStore)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("open publish store %s: not a directory", s.dir)
	case errors.Is(err, seglog.ErrLocked):
		return fmt.Errorf("open %s: %w", s.dir, ErrLocked)
	case errors.As(err, &damaged):
		return damaged
	case errors.As(err, &damage):
		return &DamagedError{Path: s.dir, Err: damage}
	}
	return fmt.Errorf("open publish store %s: %w", s.dir, err)
}

// recover finds the messages that the state lists as kept. It records durably that the store is
// open: from now on it does not count as closed cleanly.
func (s *File) recover(boot string, acceptDamage bool) error {
	damage := s.log.Damage()
	if damage != nil && !acceptDamage {
		return &DamagedError{Path: s.dir, Err: damage}
	}
	if damage != nil {
		if err := s.eachAside(s.state.replayAfterDamage); err != nil {
			return err
		}
		// The salvaged messages follow in the log. Because of this state a later replay accepts
		// their numbers.
		if _, err := s.log.Append(kindState, s.state.encode()); err != nil {
			return err
		}
	}
	if err := s.fillSlots(acceptDamage); err != nil {
		return err
	}
	if damage != nil || s.givenUp > 0 {
		s.state.closed, boot = false, "" // numbers may have been lost
	}
	s.state.recordOpen(boot, s.newLife())
	if err := s.logOpened(); err != nil {
		return err
	}
	if damage != nil {
		if err := s.log.DropAside(); err != nil {
			return err
		}
	}
	return s.log.Trim(s.oldestLocked()) // commit trims too, but may never run on a full disk
}

// logOpened logs the state of the opened store and syncs the log.
func (s *File) logOpened() error {
	if _, err := s.log.Append(kindState, s.state.encode()); err != nil {
		return err
	}
	end, err := s.log.Sync()
	if err != nil {
		return err
	}
	s.durable = end
	s.visible = uint64(end)
	for _, l := range s.state.lives {
		s.loggedAcked[l.publisher] = l.acked
	}
	return nil
}

// fillSlots fills the slots from the messages in the log, and from the records that were set aside
// after damage.
func (s *File) fillSlots(acceptDamage bool) error {
	records := (uint64(s.log.End()) + uint64(s.log.Size())) / minRecordLen
	for _, l := range s.state.lives {
		if err := l.prepareSlots(records); err != nil {
			return &DamagedError{Path: s.dir, Err: err}
		}
	}
	if err := eachRecord(s.log.Cursor(s.log.First()), s.state.fillFromRecord); err != nil {
		return err
	}
	if err := s.salvage(); err != nil {
		return err
	}
	for _, l := range s.state.lives {
		if acceptDamage {
			s.givenUp += l.giveUpMissing()
		} else if seq := l.nextMissing(0); seq != 0 {
			return &DamagedError{Path: s.dir, Err: fmt.Errorf("message %d of publisher %d is missing", seq, l.publisher)}
		}
	}
	if len(s.state.lives) > 0 {
		s.state.prune()
	}
	return nil
}

// fillFromRecord sets the position of the message in a record.
func (s *storeState) fillFromRecord(r seglog.Record) error {
	if r.Kind != kindMessage {
		return nil
	}
	publisher, seq, _ := recordIdentity(r.Payload)
	size, ms, err := recordMeta(r.Payload)
	if err != nil {
		return fmt.Errorf("record at %d: %w", r.Position, err)
	}
	if l := s.lifeOf(publisher); l != nil {
		l.fillSlot(seq, uint64(r.Position), size, ms)
	}
	return nil
}

// A fileOwner is the log's view of a File. seglog.Open calls its methods before any other goroutine
// has the store, and Append calls them while mu is held.
type fileOwner File

func (o *fileOwner) Head() []byte { return append([]byte(headMagic), o.state.encode()...) }

func (o *fileOwner) Summary() []byte { return nil }

func (o *fileOwner) RecoverHead(p []byte) error {
	state, ok := bytes.CutPrefix(p, []byte(headMagic))
	if !ok {
		return ErrNotStore
	}
	return o.state.decode(state)
}

func (o *fileOwner) Recover(r seglog.Record) error { return o.state.replay(r.Kind, r.Payload) }

// replay applies a record to a state whose slots are not filled yet.
func (s *storeState) replay(kind uint8, p []byte) error {
	var publisher, seq uint64
	var err error
	switch kind {
	case kindState:
		return s.decode(p)
	case kindMessage:
		publisher, seq, err = recordIdentity(p)
	case kindDiscard, kindReject:
		publisher, seq, err = decodeIdentity(p)
	default:
		return fmt.Errorf("kind %#x: %w", kind, errState)
	}
	l := s.lifeOf(publisher)
	if err == nil && l == nil {
		err = fmt.Errorf("kind %#x: publisher %d: %w", kind, publisher, errState)
	}
	if err != nil {
		return err
	}
	return l.replay(kind, seq)
}

// replay applies a record to a life whose slots are not filled yet.
func (l *lifeState) replay(kind uint8, seq uint64) error {
	switch {
	case kind == kindMessage && seq == l.last+1:
		l.last = seq
	case seq > l.last:
		return fmt.Errorf("kind %#x: message %d follows %d: %w", kind, seq, l.last, errState)
	case kind == kindDiscard && seq > l.acked:
		l.acked = seq
		l.rejected.dropThrough(seq)
	case kind == kindReject && seq > l.acked:
		l.rejected.add(seq)
	}
	return nil
}
