package crashimages

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Journal is the transaction log of an instance.
var Journal = Subject{"journal", func(seed uint64) Life {
	return &journalLife{rand: newRand(seed), ids: make(map[uint64]*ids)}
}}

// ids is what is known of one publisher.
type ids struct {
	have    uint64            // highest sequence appended
	durable uint64            // highest one reported as durable
	gone    uint64            // retention may have removed up to here
	crc     map[uint64]uint32 // running CRC at each sequence
	clock   map[uint64]uint64 // the group's clock then (R10)
}

// A journalLife is a journal and what it has promised: nothing but what it
// reported as durable, by a kill as by a power cut.
type journalLife struct {
	rand    *rand.Rand
	j       *journal.Journal
	made    int      // bodies
	records []string // appended, in order
	ids     map[uint64]*ids

	mu     sync.Mutex
	moved  map[uint64]uint64 // guarded by mu: reported as durable by this process
	failed error             // guarded by mu: what OnFail was told
}

func (l *journalLife) Clone(seed uint64) Life {
	c := &journalLife{rand: newRand(seed), made: l.made, records: slices.Clone(l.records), ids: make(map[uint64]*ids)}
	for p, s := range l.ids {
		copied := *s
		copied.durable = max(s.durable, l.reported(p))
		copied.crc, copied.clock = maps.Clone(s.crc), maps.Clone(s.clock)
		c.ids[p] = &copied
	}
	return c
}

func (l *journalLife) reported(publisher uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved[publisher]
}

func (l *journalLife) Open(disk *memfs.FS, _ bool) (err error) {
	l.moved = make(map[uint64]uint64)
	l.j, err = journal.Open(journal.Options{
		FS: disk, Dir: "journal", SegmentBytes: 1200,
		OnDurable: func(moved []journal.Moved, _ bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, m := range moved {
				l.moved[m.Publisher] = m.Sequence
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

func (l *journalLife) Use(steps int) error {
	for range steps {
		if err := l.step(l.rand.IntN(12)); err != nil {
			return err
		}
	}
	return nil
}

func (l *journalLife) step(what int) error {
	switch {
	case what < 7:
		for range 1 + l.rand.IntN(6) {
			if err := l.append(); err != nil {
				return err
			}
		}
		return nil
	case what < 8:
		clock := l.j.Closing().Clock
		return l.j.HearClosing(journal.Closing{Clock: clock + l.rand.Uint64N(3), Forgotten: clock})
	case what < 9:
		return l.j.Sync()
	case what < 11:
		time.Sleep(time.Millisecond) // until the syncer has nothing left to do
		return l.j.Err()
	}
	return l.trim()
}

// append appends a record of some kind, or one that is there already.
func (l *journalLife) append() error {
	publisher := 1 + l.rand.Uint64N(3)
	if l.ids[publisher] == nil {
		l.ids[publisher] = &ids{crc: make(map[uint64]uint32), clock: make(map[uint64]uint64)}
	}
	s := l.ids[publisher]
	l.made++
	r := journal.Record{
		Kind: journal.Message, Publisher: publisher, Sequence: s.have + 1, Prev: s.have, Topic: []byte("t"),
		Body: fmt.Appendf(nil, "%d %s", l.made, strings.Repeat("b", l.made*37%60)),
	}
	switch l.rand.IntN(12) {
	case 0:
		r.Kind, r.Body, r.Reason = journal.Tombstone, nil, []byte("no")
	case 1:
		r.Kind, r.Body = journal.Empty, nil
	case 2:
		r.Kind, r.Body, r.Sequence = journal.Elsewhere, nil, s.have+3
	case 3:
		r.Sequence, r.Prev = s.have+2, s.have+1
		return l.offer(&r, journal.Hole)
	}
	if err := l.offer(&r, journal.Take); err != nil {
		return err
	}
	state, _ := l.j.State(publisher)
	s.have, s.crc[r.Sequence], s.clock[r.Sequence] = r.Sequence, state.RunningCRC, l.j.Closing().Clock
	l.records = append(l.records, recordText(&r))
	return nil
}

func (l *journalLife) offer(r *journal.Record, want journal.Verdict) error {
	v, err := l.j.Append(r)
	if err == nil && v != want {
		err = Violated("%s got the verdict %d, want %d", recordText(r), v, want)
	}
	return err
}

func recordText(r *journal.Record) string {
	return fmt.Sprintf("%d|%d after %d: %v %s%s", r.Publisher, r.Sequence, r.Prev, r.Kind, r.Body, r.Reason)
}

func (l *journalLife) trim() error {
	if err := l.j.Sync(); err != nil {
		return err
	}
	for _, s := range l.ids {
		s.gone = s.have
	}
	_, err := l.j.Trim(journal.Retention{Bytes: 14 << 10})
	return err
}

func (l *journalLife) Close() error {
	err := l.j.Close()
	if err == nil {
		for _, s := range l.ids {
			s.durable = s.have
		}
	}
	return err
}

func (l *journalLife) End() {
	if l.j != nil {
		l.j.Kill()
	}
}

func (l *journalLife) Failed() error {
	if l.j == nil || l.j.Err() == nil {
		return nil
	}
	first := l.j.Err()
	time.Sleep(time.Millisecond) // until the syncer has told
	l.mu.Lock()
	told := l.failed
	l.mu.Unlock()
	if told == nil {
		return Violated("failed with %v and told nobody", first)
	}
	s := l.ids[1]
	if s == nil {
		s = &ids{}
	}
	_, appendErr := l.j.Append(&journal.Record{Kind: journal.Empty, Publisher: 1, Sequence: s.have + 1, Prev: s.have})
	for i, err := range []error{appendErr, l.j.Sync(), l.j.Close()} {
		if err == nil {
			return Violated("call %d after the disk failed with %v succeeds", i, first)
		}
	}
	return nil
}

// Check implements Life.
func (l *journalLife) Check() error {
	for _, s := range l.j.States() {
		known := l.ids[s.Publisher]
		if known == nil {
			return Violated("a publisher that nobody used: %+v", s)
		}
		crc, at := known.crc[s.Have]
		if s.Have > known.have || s.Durable != s.Have || s.Floor > known.gone || s.Have > 0 && (!at || crc != s.RunningCRC) {
			return Violated("found %+v, had %+v", s, *known)
		}
		if clock := l.j.Closing().Clock; clock < known.clock[s.Have] {
			return Violated("the group's clock is %d, it was %d before %d|%d", clock, known.clock[s.Have], s.Publisher, s.Have)
		}
	}
	for publisher, known := range l.ids {
		s, _ := l.j.State(publisher)
		if s.Have < known.durable {
			return Violated("publisher %d has %d, %d was reported durable", publisher, s.Have, known.durable)
		}
	}
	report, err := l.j.Verify()
	if err != nil {
		return Violated("verify: %v", err)
	}
	return l.checkRecords(report.Records)
}

// checkRecords compares the records with those that were appended: of each
// publisher all above the floor, in their order, and no other.
func (l *journalLife) checkRecords(n int) error {
	f := l.j.Follow(l.j.First(), journal.Appended)
	defer f.Close()
	var found []string
	last := make(map[uint64]uint64)
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			return Violated("read: %v", err)
		}
		if !ok {
			break
		}
		s, _ := l.j.State(r.Publisher)
		if before, in := last[r.Publisher]; r.Prev != before && (in || r.Prev > s.Floor) {
			return Violated("%s stands behind %d, the floor is %d", recordText(&r), before, s.Floor)
		}
		last[r.Publisher] = r.Sequence
		found = append(found, recordText(&r))
	}
	if !inOrder(found, l.records) || len(found) != n {
		return Violated("the journal holds\n%s\nof\n%s", strings.Join(found, "\n"), strings.Join(l.records, "\n"))
	}
	for publisher, known := range l.ids {
		s, _ := l.j.State(publisher)
		if s.Have > s.Floor && last[publisher] != s.Have {
			return Violated("the records of %d end at %d, it has %d", publisher, last[publisher], s.Have)
		}
		known.have, known.durable = s.Have, s.Have
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
