// Package memledger is a ledger in memory for tests of its users. A test sets which records are
// durable, safe and settled, and the state of the group.
package memledger

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// A Ledger is a list of records. It is lone until SetGroup changes that. It is safe for concurrent
// use.
type Ledger struct {
	mu            sync.Mutex
	records       []ledger.Record // guarded by mu, like all fields below; their positions count from 1
	first         int             // number of records that retention has removed
	durable       int             // number of durable records
	have          bookmark.Vector
	checks        map[uint64]bookmark.Check
	owners        map[uint64]string
	floors        bookmark.Vector
	watermarks    map[uint64][2]uint64 // safe, settled of publishers that SetWatermarks has set
	expected      bookmark.Vector      // highest sequence of each publisher that something waits for
	diverged      bookmark.Vector      // diverged publishers, each with the first number that is not proven equal
	heldPublishes int                  // number of publishes that are held back
	usedDecree    map[uint64]bool
	groupState    GroupState
}

// A GroupState is the state of the instance's group.
type GroupState struct {
	Grouped, Reachable, Single, CatchingUp bool
	MustHoldPublish                        bool // new numbers wait for the peers
	CarriedTopics, SyncPeers               []string
	SyncStatus                             syncstatus.Status
	Cluster                                string
	NotIntact                              bool
	Incarnation                            uint64
	DecreeStands                           bool
	OutdatedReason                         string
	GroupClock                             ledger.GroupClock
	ClosedPublishers                       bookmark.Vector // publishers that all instances are about to forget
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{
		have: bookmark.Vector{}, checks: make(map[uint64]bookmark.Check), owners: make(map[uint64]string), floors: bookmark.Vector{}, watermarks: make(map[uint64][2]uint64), expected: bookmark.Vector{}, diverged: bookmark.Vector{},
		usedDecree: make(map[uint64]bool),
		groupState: GroupState{SyncStatus: syncstatus.Alone},
	}
}

// Sync makes all records durable.
func (l *Ledger) Sync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = len(l.records)
}

// SetWatermarks sets safe(p) and settled(p) of a publisher. By default both are durable(p).
func (l *Ledger) SetWatermarks(publisher, safe, settled uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watermarks[publisher] = [2]uint64{safe, settled}
}

// SetDiverged makes a publisher diverged from a number on.
func (l *Ledger) SetDiverged(publisher, from uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.diverged[publisher] = from
}

// Diverged implements [ledger.Log].
func (l *Ledger) Diverged(publisher uint64) (from uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.diverged[publisher]
}

// SetGroup sets the state of the group.
func (l *Ledger) SetGroup(s GroupState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groupState = s
}

// Trim removes the oldest n records, as retention does.
func (l *Ledger) Trim(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records[l.first : l.first+n] {
		l.floors[r.Publisher] = r.Sequence
	}
	l.first += n
}

// ExpectedSettled returns the highest sequence of a publisher for which ExpectSettled was called.
func (l *Ledger) ExpectedSettled(publisher uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expected[publisher]
}

// HeldPublishes returns the number of publishes that are held back.
func (l *Ledger) HeldPublishes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heldPublishes
}

// Appender implements [ledger.Log].
func (l *Ledger) Appender() ledger.Appender { return appender{l} }

type appender struct{ l *Ledger }

func (a appender) Notify() {}

// AppendRun implements [ledger.Appender].
func (a appender) AppendRun(check bookmark.Check, user []byte, run []record.OrdinaryMessage) (t ledger.RunResult, err error) {
	for _, o := range run {
		var r ledger.Record
		if err := record.Parse(o, &r); err != nil {
			return t, err
		}
		r.Check = check
		if len(user) > 0 {
			r.User, r.Raw = user, nil
		}
		if v, err := a.Append(&r); v != ledger.Accepted || err != nil {
			return t, err
		}
		t.Records++
	}
	return t, nil
}

// Append implements [ledger.Appender].
func (a appender) Append(r *ledger.Record) (ledger.Verdict, error) {
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if bookmark.ChecksDiffer(l.checks[r.Publisher], r.Check) {
		return ledger.OtherPublisher, nil
	}
	if l.diverged[r.Publisher] > 0 {
		return ledger.Diverged, nil
	}
	have := l.have[r.Publisher]
	if r.Sequence == 0 {
		r.Sequence, r.Prev = have+1, have
	}
	switch {
	case r.Sequence <= have:
		return l.compareLocked(r), nil
	case r.Prev > have:
		return ledger.Hole, nil
	}
	r.Position = ledger.Position(len(l.records) + 1)
	r.Next = r.Position + 1
	if r.Time == 0 {
		r.Time = int64(r.Position)
	}
	c, err := l.storedLocked(r)
	if err != nil {
		return 0, err
	}
	l.records = append(l.records, c)
	l.have[r.Publisher] = r.Sequence
	l.checks[r.Publisher] = cmp.Or(l.checks[r.Publisher], r.Check)
	l.owners[r.Publisher] = cmp.Or(l.owners[r.Publisher], string(r.User))
	return ledger.Accepted, nil
}

// storedLocked returns a copy of a record with its bytes. They have the check only in the first
// record of a publisher.
func (l *Ledger) storedLocked(r *ledger.Record) (c ledger.Record, err error) {
	c = *r
	if _, known := l.have[r.Publisher]; known {
		c.Check = bookmark.Check{}
	}
	raw, err := record.Append(nil, &c)
	if err == nil {
		err = record.Parse(raw, &c)
	}
	c.Position, c.Next, c.Time = r.Position, r.Next, r.Time
	return c, err
}

// compareLocked returns the verdict on a record at or below have.
func (l *Ledger) compareLocked(r *ledger.Record) ledger.Verdict {
	o := l.recordAtLocked(r.Publisher, r.Sequence)
	switch {
	case o == nil || isMarker(o.Kind) || isMarker(r.Kind):
		return ledger.ContentUnknown
	case sameContent(o, r):
		return ledger.Duplicate
	}
	return ledger.Differs
}

// recordAtLocked returns the record that stands for a number, nil if retention has removed it.
func (l *Ledger) recordAtLocked(publisher, sequence uint64) *ledger.Record {
	for n := l.first; n < len(l.records); n++ {
		if o := &l.records[n]; o.Publisher == publisher && o.Prev < sequence && sequence <= o.Sequence {
			return o
		}
	}
	return nil
}

func isMarker(k ledger.Kind) bool { return k == ledger.Gone || k == ledger.Elsewhere }

func sameContent(a, b *ledger.Record) bool {
	return a.Kind == b.Kind && (a.Kind == ledger.Tombstone || bytes.Equal(a.Body, b.Body) && bytes.Equal(a.Topic, b.Topic) && bytes.Equal(a.Headers, b.Headers))
}

// Lookup implements [ledger.Appender].
func (a appender) Lookup(r *ledger.Record, _ bool) (ledger.RecordInfo, error) {
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.recordAtLocked(r.Publisher, r.Sequence)
	switch {
	case o == nil && r.Sequence <= l.floors[r.Publisher]:
		return ledger.RecordInfo{Kind: ledger.Gone}, nil
	case o == nil:
		return ledger.RecordInfo{}, nil
	}
	st := ledger.RecordInfo{
		Kind: o.Kind, Same: sameContent(o, r), Cause: o.Cause, Reason: string(o.Reason),
		Listed: isRefusal(o) && o.Sequence-r.Sequence < ledger.MaxTombstones,
	}
	if st.Listed {
		st.Kind = ledger.Tombstone
	}
	return st, nil
}

// isRefusal reports whether a record refuses the numbers that it stands for.
func isRefusal(r *ledger.Record) bool {
	return r.Kind == ledger.Tombstone || r.Kind == ledger.Gone && len(r.Reason) > 0
}

// Have implements [ledger.Log].
func (l *Ledger) Have(publisher uint64) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, known := l.have[publisher]
	return have, known
}

// Check implements [ledger.Log].
func (l *Ledger) Check(publisher uint64) bookmark.Check {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checks[publisher]
}

// Owner implements [ledger.Log].
func (l *Ledger) Owned(user string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, owner := range l.owners {
		if owner == user {
			n++
		}
	}
	return n
}

// Owner implements [ledger.Log].
func (l *Ledger) Owner(publisher uint64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owners[publisher]
}

// Tombstones implements [ledger.Log].
func (l *Ledger) Tombstones(publisher, above uint64) (list []ledger.Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Publisher != publisher || !isRefusal(&r) {
			continue
		}
		for n := max(r.Prev, above, r.Sequence-min(r.Sequence, ledger.MaxTombstones)) + 1; n <= r.Sequence; n++ {
			list = append(list, ledger.Refusal{Sequence: n, Reason: string(r.Reason)})
		}
	}
	return list[max(0, len(list)-ledger.MaxTombstones):]
}

// Touch implements [ledger.Log]. It does nothing, because this ledger forgets no publisher.
func (l *Ledger) Touch(uint64) {}

// GroupClock implements [ledger.Log].
func (l *Ledger) GroupClock() ledger.GroupClock { return l.group().GroupClock }

// ClosedPublishers implements [ledger.Log].
func (l *Ledger) ClosedPublishers() bookmark.Vector { return l.group().ClosedPublishers }

// Floor implements [ledger.Log].
func (l *Ledger) Floor(publisher uint64) uint64 { return l.Floors()[publisher] }

// Floors implements [ledger.Log].
func (l *Ledger) Floors() bookmark.Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.floors.Clone()
}

// RemovedMatching implements [ledger.Log].
func (l *Ledger) RemovedMatching(matches func(topic []byte) bool, _ bookmark.Vector) bookmark.Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := bookmark.Vector{}
	for n, r := range l.records {
		if n < l.first && (r.Kind == ledger.Gone || r.Kind == ledger.Message && matches(r.Topic)) {
			v[r.Publisher] = r.Sequence
		}
	}
	return v
}

// NeverMatching implements [ledger.Log].
func (l *Ledger) NeverMatching(matches func(topic []byte) bool) bookmark.Vector {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.have.Clone()
	for _, r := range l.records {
		if isMarker(r.Kind) || r.Kind == ledger.Message && matches(r.Topic) {
			delete(v, r.Publisher)
		}
	}
	return v
}

// TopicsKnown implements [ledger.Log].
func (l *Ledger) TopicsKnown(publisher uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.records, func(r ledger.Record) bool { return r.Publisher == publisher && isMarker(r.Kind) })
}

// First implements [ledger.Log].
func (l *Ledger) First() ledger.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ledger.Position(l.first + 1)
}

// DurableEnd implements [ledger.Log].
func (l *Ledger) DurableEnd() ledger.Position {
	at, _ := l.DurableVector()
	return at
}

// DurableVector implements [ledger.Log].
func (l *Ledger) DurableVector() (ledger.Position, bookmark.Vector) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vectorLocked(l.durable)
}

// vectorLocked returns the position after the first n records and their vector.
func (l *Ledger) vectorLocked(n int) (ledger.Position, bookmark.Vector) {
	v := bookmark.Vector{}
	for _, r := range l.records[:n] {
		v[r.Publisher] = r.Sequence
	}
	return ledger.Position(n + 1), v
}

// SeekVector implements [ledger.Log].
func (l *Ledger) SeekVector(v bookmark.Vector) (ledger.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records[l.first:] {
		if v[r.Publisher] < r.Sequence {
			return r.Position, nil
		}
	}
	return ledger.Position(len(l.records) + 1), nil
}

// SeekTime implements [ledger.Log].
func (l *Ledger) SeekTime(t time.Time) (ledger.Position, bookmark.Vector, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := slices.IndexFunc(l.records[:l.durable], func(r ledger.Record) bool { return r.Time >= t.UnixMicro() })
	if n < 0 {
		n = l.durable
	}
	at, v := l.vectorLocked(max(n, l.first))
	return at, v, nil
}

// Find implements [ledger.Log].
func (l *Ledger) Find(list []bookmark.Bookmark, stop func() bool) (ledger.Position, bool, error) {
	if stop != nil && stop() {
		return 0, false, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records[l.first:] {
		if r.Kind != ledger.Gone && slices.Contains(list, bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}) {
			return r.Position, true, nil
		}
	}
	return 0, false, nil
}

// Follow implements [ledger.Log].
func (l *Ledger) Follow(from ledger.Position) ledger.Follower {
	f := &follower{l: l}
	f.Seek(from)
	return f
}

type follower struct {
	l    *Ledger
	next ledger.Position
}

// Next implements [ledger.Follower].
func (f *follower) Next(r *ledger.Record) (bool, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	n := int(f.next) - 1
	switch {
	case n < f.l.first:
		return false, ledger.ErrTrimmed
	case n >= f.l.durable:
		return false, nil
	}
	*r = f.l.records[n]
	f.next++
	return true, nil
}

// Position implements [ledger.Follower].
func (f *follower) Position() ledger.Position { return f.next }

// Seek implements [ledger.Follower].
func (f *follower) Seek(to ledger.Position) {
	if f.next = to; to == 0 {
		f.next = f.l.First()
	}
}

// Close implements [ledger.Follower].
func (f *follower) Close() error { return nil }

// LostRanges implements [ledger.Log].
func (l *Ledger) LostRanges(publisher uint64) (lost []ledger.Range) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		if r.Publisher == publisher && r.Kind == ledger.Gone && r.Cause == ledger.Lost {
			lost = append(lost, ledger.Range{From: r.Prev + 1, To: r.Sequence})
		}
	}
	return lost
}

// Watermarks implements [ledger.Watermarks].
func (l *Ledger) Watermarks(publisher uint64) (safe, settled uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set, found := l.watermarks[publisher]; found {
		return set[0], set[1]
	}
	_, v := l.vectorLocked(l.durable)
	return v[publisher], v[publisher]
}

// ExpectSettled implements [ledger.Watermarks].
func (l *Ledger) ExpectSettled(publisher, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected[publisher] = max(l.expected[publisher], sequence)
}

func (l *Ledger) group() GroupState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groupState
}

// Lone implements [ledger.Group], as the methods below do.
func (l *Ledger) Lone() bool                    { return !l.group().Grouped }
func (l *Ledger) Reachable() bool               { return l.group().Reachable }
func (l *Ledger) Single() bool                  { return l.group().Single }
func (l *Ledger) CatchingUp() bool              { return l.group().CatchingUp }
func (l *Ledger) CarriedTopics() []string       { return l.group().CarriedTopics }
func (l *Ledger) SyncPeers() []string           { return l.group().SyncPeers }
func (l *Ledger) SyncStatus() syncstatus.Status { return l.group().SyncStatus }

// Cluster implements [ledger.Group].
func (l *Ledger) Cluster() string { return l.group().Cluster }

// Intact implements [ledger.Group].
func (l *Ledger) Intact() bool { return !l.group().NotIntact }

func (l *Ledger) Incarnation() uint64    { return l.group().Incarnation }
func (l *Ledger) OutdatedReason() string { return l.group().OutdatedReason }

// DecreeUnused implements [ledger.Group].
func (l *Ledger) DecreeUnused(publisher uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groupState.DecreeStands && !l.usedDecree[publisher]
}

// UseDecree implements [ledger.Group].
func (l *Ledger) UseDecree(publisher uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.have[publisher] > 0 {
		l.usedDecree[publisher] = l.groupState.DecreeStands
	}
	return nil
}

// Linked implements [ledger.Group]. Either all peers are connected or none.
func (l *Ledger) Linked(string) bool { return l.group().Reachable }

// MustHoldPublish implements [ledger.Group].
func (l *Ledger) MustHoldPublish(uint64, map[string]uint64) bool { return l.group().MustHoldPublish }

// HoldPublish implements [ledger.Group].
func (l *Ledger) HoldPublish() (release func()) {
	add := func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heldPublishes += n
	}
	add(1)
	return func() { add(-1) }
}
