package crashimages

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Journal is the transaction log of an instance.
var Journal = Subject{"journal", func(seed uint64) Model {
	return &journalModel{rand: newRand(seed), ids: make(map[uint64]*publisherState), decrees: make([]journal.Decree, 1), usedDecree: make(map[uint64]bool)}
}}

// publisherState is the state of one publisher.
type publisherState struct {
	have             uint64                   // highest sequence appended
	durable          uint64                   // highest one reported as durable
	removableThrough uint64                   // retention may have removed up to here
	crc              map[uint64]uint32        // running CRC at each sequence
	holes            map[uint64]journal.Cause // by the last sequence of each
	clock            map[uint64]uint64        // the group's clock then (R10)
	owner            string                   // the first user
	ownedFrom        uint64                   // sequence of the first record with a user; 0: none
}

// A rememberedPeer is a peer that the journal must remember.
type rememberedPeer struct {
	peer      journal.Peer
	publisher uint64 // of the record that was appended next, 0: none yet
	sequence  uint64
}

// A journalModel is a journal and its promises: the records that it reported as durable,
// after a kill as after a power cut.
type journalModel struct {
	rand            *rand.Rand
	j               *journal.Journal
	disk            *memfs.FS
	bodyCount       int      // bodies
	records         []string // appended, in order
	peers           []rememberedPeer
	durablePeers    int // of the peers, those that are durable
	ids             map[uint64]*publisherState
	cluster         journal.Cluster  // that it has become one of, durably
	diverged        []uint64         // publishers noted as diverged, durable but for the last
	durableDiverged int              // how many of them are durable
	decrees         []journal.Decree // the last one that is durable, and one after it that may be
	usedDecree      map[uint64]bool  // publishers that have made use of it, durably

	mu              sync.Mutex
	reportedDurable map[uint64]uint64 // guarded by mu: reported as durable by this process
	failed          error             // guarded by mu: the error of OnFail
}

func (l *journalModel) Clone(seed uint64) Model {
	c := &journalModel{
		rand: newRand(seed), bodyCount: l.bodyCount, records: slices.Clone(l.records), ids: make(map[uint64]*publisherState),
		peers: slices.Clone(l.peers), durablePeers: l.durablePeers,
		diverged: slices.Clone(l.diverged), durableDiverged: l.durableDiverged, cluster: l.cluster,
		decrees: slices.Clone(l.decrees), usedDecree: maps.Clone(l.usedDecree),
	}
	for p, s := range l.ids {
		copied := *s
		copied.durable = max(s.durable, l.reported(p))
		copied.crc, copied.holes, copied.clock = maps.Clone(s.crc), maps.Clone(s.holes), maps.Clone(s.clock)
		c.ids[p] = &copied
	}
	return c
}

func (l *journalModel) reported(publisher uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reportedDurable[publisher]
}

func (l *journalModel) Open(disk *memfs.FS, _ bool) (err error) {
	l.disk, l.reportedDurable = disk, make(map[uint64]uint64)
	l.j, err = journal.Open(journal.Options{
		FS: disk, Dir: "journal", SegmentBytes: 1200,
		OnDurable: func(moved []journal.Advance, _ bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, m := range moved {
				l.reportedDurable[m.Publisher] = m.Sequence
			}
		},
		OnFail: func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = err
		},
	})
	return err
}

func (l *journalModel) Use(steps int) error {
	for range steps {
		if err := l.step(l.rand.IntN(16)); err != nil {
			return err
		}
	}
	return nil
}

func (l *journalModel) step(action int) error {
	switch {
	case action < 7:
		for range 1 + l.rand.IntN(6) {
			if err := l.append(); err != nil {
				return err
			}
		}
		return nil
	case action == 7:
		return l.remember()
	case action == 13:
		clock := l.j.GroupClock().Now
		return l.j.MergeGroupClock(journal.GroupClock{Now: clock + l.rand.Uint64N(3), Forgotten: clock})
	case action < 9:
		return l.j.Sync()
	case action < 11:
		time.Sleep(time.Millisecond) // until the syncer has nothing left to do
		return l.j.Err()
	case action < 12:
		return l.trim()
	case action > 13:
		return l.changeDecree()
	case l.cluster.ID.IsZero():
		c, err := l.j.FoundCluster()
		if err == nil {
			l.cluster = c
		}
		return err
	}
	return l.diverge()
}

// changeDecree has the journal take a decree, end it, or note that a publisher has made use of it.
func (l *journalModel) changeDecree() error {
	d := l.decrees[0]
	if publisher := 1 + l.rand.Uint64N(3); d.Stands() && l.has(publisher) && l.rand.IntN(3) > 0 {
		err := errors.Join(l.j.UseDecree(publisher), l.j.Sync())
		if err == nil {
			l.usedDecree[publisher] = true
		}
		return err
	}
	if d.Ended = d.Stands(); !d.Ended {
		l.bodyCount++
		d = journal.Decree{
			Incarnation: d.Incarnation + 1, ID: uint64(l.bodyCount), Members: []string{"a", "b"}, Lost: []string{"c"}, Time: time.UnixMicro(int64(l.bodyCount)),
		}
	}
	l.decrees = append(l.decrees[:1], d)
	err := l.j.RecordDecree(d)
	if err == nil {
		l.decreeDurable(d)
	}
	return err
}

// has reports whether the journal has a record of a publisher. One that was not durable may be gone.
func (l *journalModel) has(publisher uint64) bool {
	state, _ := l.j.State(publisher)
	return state.Have > 0
}

// decreeDurable notes that a decree is durable. No publisher has used another one.
func (l *journalModel) decreeDurable(d journal.Decree) {
	if !d.Same(l.decrees[0]) {
		clear(l.usedDecree)
	}
	l.decrees = []journal.Decree{d}
}

// checkDecree checks that the decree is the last durable one, or the one after it, and
// which publishers have used it.
func (l *journalModel) checkDecree() error {
	found := l.j.Decree()
	found.Age = 0
	n := slices.IndexFunc(l.decrees, func(d journal.Decree) bool { return fmt.Sprint(d) == fmt.Sprint(found) })
	if n < 0 && (found.Incarnation > 0 || l.decrees[0].Incarnation > 0) {
		return Violatef("found the decree %+v, had %+v", found, l.decrees)
	}
	l.decreeDurable(l.decrees[max(n, 0)])
	for publisher := range l.usedDecree {
		if l.decrees[0].Stands() && !l.j.DecreeUsed(publisher) {
			return Violatef("forgot that %d has used the decree %+v", publisher, found)
		}
	}
	return nil
}

// firstDiverged is the first of the publishers that are noted as diverged.
const firstDiverged = 100

// diverge notes a publisher as diverged, which is durable then.
func (l *journalModel) diverge() error {
	l.bodyCount++
	publisher := firstDiverged + uint64(l.bodyCount)
	l.diverged = append(l.diverged, publisher)
	_, err := l.j.NoteDiverged([]bookmark.Bookmark{{Publisher: publisher, Sequence: 1}})
	if err == nil {
		l.durableDiverged = len(l.diverged)
	}
	return err
}

// checkDiverged checks that those are noted that were reported as durable.
func (l *journalModel) checkDiverged() error {
	for i, publisher := range l.diverged {
		if from := l.j.Diverged(publisher); i < l.durableDiverged && from != 1 {
			return Violatef("publisher %d has diverged from %d on, want 1", publisher, from)
		}
	}
	l.diverged = slices.DeleteFunc(l.diverged, func(p uint64) bool { return l.j.Diverged(p) == 0 })
	l.durableDiverged = len(l.diverged)
	return nil
}

// append appends a record of some kind, or one that is there already.
func (l *journalModel) append() error {
	publisher := 1 + l.rand.Uint64N(3)
	if l.ids[publisher] == nil {
		l.ids[publisher] = &publisherState{crc: make(map[uint64]uint32), holes: make(map[uint64]journal.Cause), clock: make(map[uint64]uint64)}
	}
	s := l.ids[publisher]
	l.bodyCount++
	r := journal.Record{
		Kind: journal.Message, Publisher: publisher, Sequence: s.have + 1, Prev: s.have, Topic: []byte("t"),
		Body: fmt.Appendf(nil, "%d %s", l.bodyCount, strings.Repeat("b", l.bodyCount*37%60)), Check: checkOf(publisher),
	}
	if l.rand.IntN(4) == 0 {
		r.User = []byte([]string{"joe", "ann"}[l.rand.IntN(2)])
	}
	switch l.rand.IntN(14) {
	case 0:
		r.Kind, r.Body, r.Reason = journal.Tombstone, nil, []byte("no")
	case 1:
		r.Kind, r.Body = journal.Empty, nil
	case 2:
		r.Kind, r.Topic, r.Body, r.Sequence = journal.Elsewhere, nil, nil, s.have+3
	case 3:
		r.Sequence, r.Prev = s.have+2, s.have+1
		return l.appendExpecting(&r, journal.Hole)
	case 4: // numbers that were left out
		r.Kind, r.Body, r.Reason, r.Sequence = journal.Tombstone, nil, []byte("elsewhere"), s.have+2
	case 5:
		r.Kind, r.Body, r.Topic, r.Sequence = journal.Gone, nil, nil, s.have+4
		r.Cause = []journal.Cause{journal.Lost, journal.LetGo}[l.rand.IntN(2)]
	}
	if r.Kind == journal.Message && l.bodyCount%3 == 0 {
		r.Headers = record.AppendHeader(nil, "n", fmt.Sprint(l.bodyCount, "\x00\xff"))
	}
	if err := l.appendExpecting(&r, journal.Accepted); err != nil {
		return err
	}
	state, _ := l.j.State(publisher)
	s.have, s.crc[r.Sequence], s.clock[r.Sequence] = r.Sequence, state.RunningCRC, l.j.GroupClock().Now
	if s.ownedFrom == 0 && len(r.User) > 0 {
		s.owner, s.ownedFrom = string(r.User), r.Sequence
	}
	if r.Kind == journal.Gone {
		s.holes[r.Sequence] = r.Cause
	}
	for n := range l.peers {
		if l.peers[n].publisher == 0 {
			l.peers[n].publisher, l.peers[n].sequence = publisher, r.Sequence
		}
	}
	l.records = append(l.records, recordText(&r))
	return nil
}

func (l *journalModel) appendExpecting(r *journal.Record, want journal.Verdict) error {
	v, err := l.j.Append(r)
	if err == nil && v != want {
		err = Violatef("%s got the verdict %d, want %d", recordText(r), v, want)
	}
	return err
}

// checkOf returns the check of a publisher, which is in its first record.
func checkOf(publisher uint64) (c bookmark.Check) {
	c[0] = byte(publisher)
	return c
}

// remember has the journal remember a peer.
func (l *journalModel) remember() error {
	p := journal.Peer{Name: fmt.Sprintf("peer %d", l.rand.IntN(3)), Sends: l.rand.IntN(2) == 0, Sync: l.rand.IntN(2) == 0}
	err := l.j.RememberPeer(p)
	if err == nil {
		l.peers = append(l.peers, rememberedPeer{peer: p})
	}
	return err
}

func recordText(r *journal.Record) string {
	return fmt.Sprintf("%d|%d after %d: %v %s%s %q", r.Publisher, r.Sequence, r.Prev, r.Kind, r.Body, r.Reason, r.Headers)
}

func (l *journalModel) trim() error {
	if err := l.j.Sync(); err != nil {
		return err
	}
	for _, s := range l.ids {
		s.removableThrough = s.have
	}
	_, err := l.j.Trim(journal.Retention{Bytes: 14 << 10})
	return err
}

func (l *journalModel) Close() error {
	err := l.j.Close()
	if err == nil {
		for _, s := range l.ids {
			s.durable = s.have
		}
		l.durablePeers = len(l.peers)
	}
	return err
}

func (l *journalModel) Kill() {
	if l.j != nil {
		l.j.Kill()
	}
}

func (l *journalModel) CheckFailed() error {
	if l.j == nil || l.j.Err() == nil {
		return nil
	}
	first := l.j.Err()
	time.Sleep(time.Millisecond) // until the syncer has called OnFail
	l.mu.Lock()
	told := l.failed
	l.mu.Unlock()
	if told == nil {
		return Violatef("failed with %v without calling OnFail", first)
	}
	s := l.ids[1]
	if s == nil {
		s = &publisherState{}
	}
	_, appendErr := l.j.Append(&journal.Record{Kind: journal.Empty, Publisher: 1, Sequence: s.have + 1, Prev: s.have})
	for i, err := range []error{appendErr, l.j.Sync(), l.j.Close()} {
		if err == nil {
			return Violatef("call %d after the disk failed with %v succeeds", i, first)
		}
	}
	return nil
}

// Check implements Model.
func (l *journalModel) Check() error {
	if err := errors.Join(l.checkDiverged(), l.checkDecree()); err != nil {
		return err
	}
	for _, s := range l.j.States() {
		if slices.Contains(l.diverged, s.Publisher) {
			continue
		}
		known := l.ids[s.Publisher]
		if known == nil {
			return Violatef("a publisher that was never used: %+v", s)
		}
		crc, at := known.crc[s.Have]
		if s.Have > known.have || s.Durable != s.Have || s.Floor > known.removableThrough || s.Have > 0 && (!at || crc != s.RunningCRC) {
			return Violatef("found %+v, had %+v", s, *known)
		}
		if clock := l.j.GroupClock().Now; clock < known.clock[s.Have] {
			return Violatef("the group's clock is %d, below the %d from before %d|%d", clock, known.clock[s.Have], s.Publisher, s.Have)
		}
	}
	for publisher, known := range l.ids {
		s, _ := l.j.State(publisher)
		if s.Have < known.durable {
			return Violatef("publisher %d has %d, %d was reported durable", publisher, s.Have, known.durable)
		}
	}
	if c := l.j.Cluster(); !l.cluster.ID.IsZero() && c != l.cluster {
		return Violatef("the cluster is %+v, want %+v", c, l.cluster)
	}
	l.cluster = l.j.Cluster()
	if err := errors.Join(l.checkPeers(), l.checkHoles(), l.checkOwners()); err != nil {
		return err
	}
	report, err := journals.VerifyOpen(l.j, l.disk, "journal")
	if err != nil {
		return Violatef("verify: %v", err)
	}
	return l.checkRecords(report.Records)
}

// checkPeers looks for the peers that must be remembered: all before any record
// that is there, and of the later ones those up to some point.
func (l *journalModel) checkPeers() error {
	least := l.durablePeers
	for n, r := range l.peers {
		if s, _ := l.j.State(r.publisher); r.sequence > 0 && s.Have >= r.sequence {
			least = n + 1
		}
	}
	found := l.j.Peers()
	for n := least; n <= len(l.peers); n++ {
		if slices.Equal(peersOf(l.peers[:n]), found) {
			l.peers, l.durablePeers = l.peers[:n], n
			return nil
		}
	}
	return Violatef("remembers the peers %v, want at least the first %[3]d of %[2]v", found, l.peers, least)
}

// peersOf returns the peers that are remembered after some were, by name.
func peersOf(list []rememberedPeer) (peers []journal.Peer) {
	last := make(map[string]journal.Peer)
	for _, r := range list {
		last[r.peer.Name] = r.peer
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		peers = append(peers, last[name])
	}
	return peers
}

// checkOwners checks that each publisher has the owner that its first record with a user gave it.
func (l *journalModel) checkOwners() error {
	for publisher, known := range l.ids {
		s, _ := l.j.State(publisher)
		if s.Have < known.ownedFrom {
			known.owner, known.ownedFrom = "", 0 // the record was not durable
		}
		if s.Owner != known.owner {
			return Violatef("publisher %d has the owner %q, want %q, of %d", publisher, s.Owner, known.owner, known.ownedFrom)
		}
	}
	return nil
}

// checkHoles looks for the checks of publishers and for why numbers are missing.
func (l *journalModel) checkHoles() error {
	b := l.j.NewAppendBatch()
	for publisher, known := range l.ids {
		s, there := l.j.State(publisher)
		if there && s.Check != checkOf(publisher) {
			return Violatef("publisher %d has the check %x", publisher, s.Check)
		}
		for to, cause := range known.holes {
			if to > s.Have || to <= s.Floor {
				continue
			}
			st, err := b.Lookup(&journal.Record{Kind: journal.Message, Publisher: publisher, Sequence: to}, true)
			if err != nil || st.Kind != journal.Gone || st.Cause != cause {
				return Violatef("%d|%d is %+v (%v), it is a hole of cause %v", publisher, to, st, err, cause)
			}
		}
	}
	return nil
}

// checkRecords compares the records with those that were appended: of each
// publisher all above the floor, in their order, and no other.
func (l *journalModel) checkRecords(n int) error {
	f := l.j.Follow(l.j.First(), journal.Appended)
	defer f.Close()
	var found []string
	last := make(map[uint64]uint64)
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			return Violatef("read: %v", err)
		}
		if !ok {
			break
		}
		s, _ := l.j.State(r.Publisher)
		if before, in := last[r.Publisher]; r.Prev != before && (in || r.Prev > s.Floor) {
			return Violatef("%s follows %d but the floor is %d", recordText(&r), before, s.Floor)
		}
		last[r.Publisher] = r.Sequence
		found = append(found, recordText(&r))
	}
	if !inOrder(found, l.records) || len(found) != n {
		return Violatef("the journal holds\n%s\nof\n%s", strings.Join(found, "\n"), strings.Join(l.records, "\n"))
	}
	for publisher, known := range l.ids {
		s, _ := l.j.State(publisher)
		if s.Have > s.Floor && last[publisher] != s.Have {
			return Violatef("the records of %d end at %d, want %d", publisher, last[publisher], s.Have)
		}
		known.have, known.durable = s.Have, s.Have
		maps.DeleteFunc(known.holes, func(to uint64, _ journal.Cause) bool { return to > s.Have }) // given again
	}
	l.records = found
	return nil
}

// inOrder reports whether all of found are in records, in the same order.
func inOrder(found, records []string) bool {
	for _, text := range found {
		i := slices.Index(records, text)
		if i < 0 {
			return false
		}
		records = records[i+1:]
	}
	return true
}
