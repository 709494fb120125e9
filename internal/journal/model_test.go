package journal_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An ownership is the first user of a publisher, and the sequence of the record with that user.
type ownership struct {
	user string
	at   uint64
}

// A model compares a journal with lists and maps.
type model struct {
	t       *rapid.T
	disk    *memfs.FS
	j       *journal.Journal
	reports *durableReports

	made    int                          // number of bodies
	records []journal.Record             // appended, in order, without those that a crash has lost
	have    map[uint64]uint64            // per publisher
	crc     map[uint64]map[uint64]uint32 // running CRC at each have
	floor   map[uint64]uint64
	owner   map[uint64]ownership

	followers [2]*journal.Follower
	read      [2]int // records of the model that each follower has read
}

func (m *model) open() {
	m.crashWhileOpening()
	m.reports = &durableReports{}
	m.j = mustOpen(m.t, m.disk, m.reports.use, func(o *journal.Options) { o.SegmentBytes = 2 << 10 })
	m.follow()
}

// crashWhileOpening makes recovery itself crash now and then.
func (m *model) crashWhileOpening() {
	if rapid.IntRange(0, 3).Draw(m.t, "die while opening") > 0 {
		return
	}
	m.disk.CrashAt(rapid.IntRange(1, 20).Draw(m.t, "crash at"))
	j, err := journal.Open(journal.Options{FS: m.disk, Dir: dir, SegmentBytes: 2 << 10})
	if err == nil {
		j.Kill()
	} else if !m.disk.Crashed() {
		m.t.Fatal(err)
	}
	m.disk = m.disk.Crash(rapid.SampledFrom(memfs.Modes(uint64(m.made))).Draw(m.t, "mode"))
}

func (m *model) follow() {
	for limit := range m.followers {
		if f := m.followers[limit]; f != nil {
			f.Close()
		}
		m.followers[limit] = m.j.Follow(m.j.First(), journal.Limit(limit))
		m.read[limit] = slices.IndexFunc(m.records, func(r journal.Record) bool { return journal.Position(r.Position) >= m.j.First() })
		if m.read[limit] < 0 {
			m.read[limit] = len(m.records)
		}
	}
}

// append appends a record and compares the verdict with the expected one.
func (m *model) append(r journal.Record, want journal.Verdict) {
	m.made++
	v, err := m.j.Append(&r)
	if err != nil {
		if !m.disk.Crashed() {
			m.t.Fatal(err)
		}
		return
	}
	if v != want {
		m.t.Fatalf("%s: verdict %d, want %d", recordText(&r), v, want)
	}
	if v != journal.Accepted {
		return
	}
	m.have[r.Publisher] = r.Sequence
	if m.crc[r.Publisher] == nil {
		m.crc[r.Publisher] = make(map[uint64]uint32)
	}
	m.crc[r.Publisher][r.Sequence] = state(m.j, r.Publisher).RunningCRC
	if r.Kind == journal.Gone {
		m.floor[r.Publisher] = r.Sequence
	}
	if m.owner[r.Publisher].user == "" {
		m.owner[r.Publisher] = ownership{string(r.User), r.Sequence}
	}
	m.records = append(m.records, r)
}

// appendRandom appends a record as a publisher or a link might.
func (m *model) appendRandom() {
	p := rapid.Uint64Range(1, 3).Draw(m.t, "publisher")
	have := m.have[p]
	r := journal.Record{Kind: journal.Message, Publisher: p, Sequence: have + 1, Prev: have,
		Topic: []byte("t"), Body: fmt.Appendf(nil, "%d|%d made %d", p, have+1, m.made),
		User: []byte(rapid.SampledFrom([]string{"", "", "", "joe", "ann"}).Draw(m.t, "user"))}
	switch rapid.IntRange(0, 13).Draw(m.t, "kind") {
	case 0:
		r.Kind, r.Body, r.Reason = journal.Tombstone, nil, []byte("no")
	case 1:
		r.Kind, r.Body = journal.Empty, nil
	case 2:
		r.Kind, r.Topic, r.Body, r.Sequence = journal.Elsewhere, nil, nil, have+3
	case 3:
		if rapid.IntRange(0, 5).Draw(m.t, "gone") == 0 {
			r.Kind, r.Topic, r.Body, r.Sequence, r.Prev, r.RunningCRC = journal.Gone, nil, nil, have+5, 0, 99
		}
	case 4:
		m.offerAgain(p)
		return
	case 5:
		r.Sequence, r.Prev = have+2, have+1
		m.append(r, journal.Hole)
		return
	case 6:
		r.Sequence, r.Prev = 0, 0
	}
	m.append(r, journal.Accepted)
}

// offerAgain appends a record that the journal has already.
func (m *model) offerAgain(publisher uint64) {
	var candidates []journal.Record
	for _, r := range m.records {
		if r.Publisher == publisher {
			candidates = append(candidates, r)
		}
	}
	if len(candidates) > 0 {
		m.append(rapid.SampledFrom(candidates).Draw(m.t, "again"), journal.Duplicate)
	}
}

func (m *model) trim() {
	before := m.j.First()
	n, err := m.j.Trim(journal.Retention{Bytes: 6 << 10})
	if err != nil && !m.disk.Crashed() {
		m.t.Fatal(err)
	}
	if n > 0 && m.j.First() == before && !m.disk.Crashed() {
		m.t.Fatalf("%d segments were removed, but the first position did not move", n)
	}
	m.follow()
}

// readFollowers makes the followers read on.
func (m *model) readFollowers() {
	for limit, f := range m.followers {
		for {
			var r journal.Record
			ok, err := f.Next(&r)
			if err != nil {
				if m.disk.Crashed() {
					return
				}
				m.t.Fatal(err)
			}
			if !ok {
				break
			}
			if m.read[limit] == len(m.records) {
				m.t.Fatalf("follower %d reads %s after the end", limit, recordText(&r))
			}
			if want := m.records[m.read[limit]]; recordText(&r) != recordText(&want) {
				m.t.Fatalf("follower %d reads %s, want %s", limit, recordText(&r), recordText(&want))
			}
			if d := state(m.j, r.Publisher).Durable; journal.Limit(limit) == journal.Durable && r.Sequence > d {
				m.t.Fatalf("a follower of durable records reads %s, durable is %d", recordText(&r), d)
			}
			m.read[limit]++
		}
	}
}

// restart ends the journal's process in one of several ways, and begins the next process on the
// resulting disk.
func (m *model) restart() {
	for _, f := range m.followers {
		f.Close()
	}
	m.followers = [2]*journal.Follower{}
	mode := rapid.SampledFrom(append(memfs.Modes(uint64(m.made)), memfs.Mode{Name: "close"})).Draw(m.t, "end")
	m.disk.CrashAt(1 << 40) // it must not crash while it is closed and opened
	if mode.Name == "close" && !m.disk.Crashed() {
		verifyAndClose(m.t, m.j)
	} else {
		m.j.Kill()
		if mode.Name == "close" {
			mode = memfs.Durable
		}
	}
	reported := m.reports
	if mode.Name != "close" {
		m.disk = m.disk.Crash(mode)
	}
	m.open()
	m.compare(reported)
}

// compare checks that the journal has a prefix of each publisher, with everything that was
// reported durable. It removes the rest from the model.
func (m *model) compare(reported *durableReports) {
	report, err := journals.VerifyOpen(m.j, m.disk, dir)
	if err != nil {
		m.t.Fatal(err)
	}
	for p, had := range m.have {
		s := state(m.j, p)
		if s.Have > had || s.Have < reported.get(p) || s.Durable != s.Have || s.Have != report.Have[p] {
			m.t.Fatalf("publisher %d had %d, of which %d was reported durable, and has %+v", p, had, reported.get(p), s)
		}
		if s.Have > 0 && s.RunningCRC != m.crc[p][s.Have] {
			m.t.Fatalf("publisher %d has the running CRC %#x at %d, not %#x", p, s.RunningCRC, s.Have, m.crc[p][s.Have])
		}
		if s.Have < m.owner[p].at {
			delete(m.owner, p) // a crash has taken the record with the user
		}
		if s.Owner != m.owner[p].user {
			m.t.Fatalf("publisher %d has the owner %q, not %+v", p, s.Owner, m.owner[p])
		}
		m.have[p] = s.Have
		m.reports.raise(p, s.Durable) // the next crash must not take it
	}
	m.records = slices.DeleteFunc(m.records, func(r journal.Record) bool { return r.Sequence > m.have[r.Publisher] })
	left := readAll(m.t, m.j)
	if missing := len(m.records) - len(left); missing < 0 {
		m.t.Fatalf("%d records too many", -missing)
	} else {
		for i, r := range m.records[missing:] {
			if recordText(&r) != recordText(&left[i]) {
				m.t.Fatalf("%s is there, not %s", recordText(&left[i]), recordText(&r))
			}
		}
		for _, r := range m.records[:missing] {
			if r.Sequence > state(m.j, r.Publisher).Floor {
				m.t.Fatalf("%s is gone, the floor is %d", recordText(&r), state(m.j, r.Publisher).Floor)
			}
		}
		m.records = m.records[missing:]
	}
	m.follow()
}

// The journal is compared with a model through crashes of every kind, at any operation of
// the disk. Records that were reported durable are there, each publisher's records are a
// prefix, and none is there twice (G3, G4, R7).
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, disk: memfs.New(), have: make(map[uint64]uint64),
			crc: make(map[uint64]map[uint64]uint32), floor: make(map[uint64]uint64), owner: make(map[uint64]ownership)}
		m.open()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 15).Draw(t, "what") {
			case 0:
				m.restart()
			case 1:
				m.disk.CrashAt(rapid.IntRange(1, 40).Draw(t, "crash at"))
			case 2:
				m.trim()
			case 3, 4:
				if err := m.j.Sync(); err != nil && !m.disk.Crashed() {
					t.Fatal(err)
				}
			case 5, 6:
				m.readFollowers()
			default:
				for range rapid.IntRange(1, 8).Draw(t, "many") {
					m.appendRandom()
				}
			}
			if m.disk.Crashed() {
				m.restart()
			}
		}
		m.restart()
		for _, f := range m.followers {
			f.Close()
		}
		verifyAndClose(t, m.j)
	})
}
