package crashimages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An identity is a publisher and a sequence.
type identity struct{ publisher, sequence uint64 }

// identityOf returns whose record a journal's frame holds; ok is false if it
// holds none.
func identityOf(f frame) (id identity, ok bool) {
	if f.kind < 0x10 || f.kind > 0x14 {
		return id, false
	}
	return identity{binary.LittleEndian.Uint64(f.payload[8+8:]), binary.LittleEndian.Uint64(f.payload[8+16:])}, true
}

func openJournal(disk *memfs.FS) (*journal.Journal, error) {
	return journal.Open(journal.Options{FS: disk, Dir: "journal", SegmentBytes: 1200, SetAside: true})
}

// firstUser owns each publisher of a writtenJournal.
const firstUser = "first user"

// writtenJournal makes a closed journal of records of three publishers in an order
// drawn from r, the same records whatever the order.
func writtenJournal(r *rand.Rand) (*memfs.FS, error) {
	disk := memfs.New()
	j, err := openJournal(disk)
	if err != nil {
		return nil, err
	}
	const each = 12
	for have := [3]uint64{}; have != [3]uint64{each, each, each}; {
		p := r.IntN(3)
		if have[p] == each {
			continue
		}
		have[p]++
		rec := journal.Record{Kind: journal.Message, Publisher: uint64(p + 1), Sequence: have[p], Prev: have[p] - 1,
			Topic: []byte("t"), Body: fmt.Appendf(nil, "%d of %d", have[p], p)}
		if have[p]%5 == 0 {
			rec.Kind, rec.Body, rec.Reason = journal.Tombstone, nil, []byte("no")
		}
		switch {
		case have[p] > 6:
			rec.User = []byte("later user")
		case have[p] > 2:
			rec.User = []byte(firstUser)
		}
		if v, err := j.Append(&rec); err != nil || v != journal.Accepted {
			return nil, fmt.Errorf("verdict %d, %w", v, err)
		}
		if r.IntN(4) == 0 {
			if err := j.Sync(); err != nil {
				return nil, err
			}
		}
	}
	err = j.Close()
	return durableCopy(disk), err
}

// contents returns a journal's records by identity, each once.
func contents(j *journal.Journal) (map[identity]string, error) {
	f := j.Follow(j.First(), journal.Appended)
	defer f.Close()
	found := make(map[identity]string)
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil {
			return nil, Violatef("read: %v", err)
		}
		if !ok {
			return found, nil
		}
		id := identity{r.Publisher, r.Sequence}
		if found[id] != "" {
			return nil, Violatef("record %v is there twice", id)
		}
		if r.Kind != journal.Gone {
			found[id] = recordText(&r)
		}
	}
}

// DamageJournal damages a closed journal in every way, or in a sample of all. Without a
// peer it has all but the damaged records, also if it dies during the recovery.
func DamageJournal(seed uint64, share int) (damages int, err error) {
	disk, err := writtenJournal(newRand(seed))
	if err != nil {
		return 0, err
	}
	want, err := healedRecords(disk.Image(memfs.KeepAll))
	if err != nil {
		return 0, err
	}
	r := newRand(seed)
	for d := range sample(share, Damages(disk)) {
		damages++
		damaged := disk.Image(memfs.KeepAll)
		d.Apply(damaged)
		damaged, err := crashDuring(damaged, r, func(disk *memfs.FS) error {
			_, err := healedRecords(disk)
			return err
		})
		if err != nil {
			return damages, fmt.Errorf("journal, seed %d, %v: %w", seed, d, err)
		}
		found, err := healedRecords(damaged)
		if err == nil {
			err = checkRecordsExcept(want, found, d.frames)
		}
		if err != nil {
			return damages, fmt.Errorf("journal, seed %d, %v: %w", seed, d, err)
		}
	}
	return damages, nil
}

// healedRecords opens a journal that no peer can help, twice, and returns its records.
func healedRecords(disk *memfs.FS) (map[identity]string, error) {
	j, err := openJournal(disk)
	if err != nil {
		return nil, Violatef("open: %v", err)
	}
	if err := j.FinishMerge(); err != nil {
		j.Kill()
		return nil, err
	}
	if err := j.Close(); err != nil {
		return nil, err
	}
	if j, err = journal.Open(journal.Options{FS: disk, Dir: "journal", SegmentBytes: 1200}); err != nil {
		return nil, Violatef("open again: %v", err)
	}
	found, err := contents(j)
	return found, errors.Join(err, j.Close())
}

// checkRecordsExcept reports a record that is missing or another one, although it was not hit.
func checkRecordsExcept(want, found map[identity]string, hit []frame) error {
	for id, text := range want {
		got, there := found[id]
		damaged := slices.ContainsFunc(hit, func(f frame) bool { of, ok := identityOf(f); return ok && of == id })
		if there && got != text || !there && !damaged {
			return Violatef("record %v reads %q, want %q", id, got, text)
		}
	}
	for id := range found {
		if want[id] == "" {
			return Violatef("record %v was never written", id)
		}
	}
	return nil
}

// DamagePair damages the journals of a pair in many places, no record on both, and lets
// them exchange the missing records: both have everything again.
func DamagePair(seed uint64) (damages int, err error) {
	r := newRand(seed)
	a, err := writtenJournal(r)
	if err != nil {
		return 0, err
	}
	b, err := writtenJournal(r)
	if err != nil {
		return 0, err
	}
	want, err := healedRecords(a.Image(memfs.KeepAll))
	if err != nil {
		return 0, err
	}
	hit := make(map[identity]*memfs.FS)
	var done []Damage
	for range 1 + r.IntN(6) {
		disk := []*memfs.FS{a, b}[r.IntN(2)]
		all := slices.Collect(Damages(disk))
		d := all[r.IntN(len(all))]
		if d.hitsLastHeader(disk) {
			b, _ := disk.ReadFile(d.File)
			d.frames = frames(b)
		}
		if claim(hit, disk, d) {
			d.Apply(disk)
			done = append(done, d)
		}
	}
	if err := checkPair(a, b, want); err != nil {
		return len(done), fmt.Errorf("pair, seed %d, %v: %w", seed, done, err)
	}
	return len(done), nil
}

// claim notes the records that a damage hits, unless the other disk has damage
// to one of them.
func claim(hit map[identity]*memfs.FS, disk *memfs.FS, d Damage) bool {
	for _, f := range d.frames {
		if id, ok := identityOf(f); ok && hit[id] != nil && hit[id] != disk {
			return false
		}
	}
	for _, f := range d.frames {
		if id, ok := identityOf(f); ok {
			hit[id] = disk
		}
	}
	return true
}

// checkPair opens both journals, links them until nothing moves, and compares.
func checkPair(a, b *memfs.FS, want map[identity]string) error {
	var js [2]*journal.Journal
	for i, disk := range []*memfs.FS{a, b} {
		j, err := openJournal(disk)
		if err != nil {
			return Violatef("open: %v", err)
		}
		defer j.Kill()
		if err := j.MergeAside(); err != nil {
			return err
		}
		js[i] = j
	}
	if err := exchangeRecords(js); err != nil {
		return err
	}
	if err := errors.Join(js[0].FinishMerge(), js[1].FinishMerge(), exchangeRecords(js)); err != nil {
		return err
	}
	for i, j := range js {
		found, err := contents(j)
		if err == nil {
			err = checkRecordsExcept(want, found, nil)
		}
		for _, s := range j.States() {
			if err == nil && s.Owner != firstUser {
				err = Violatef("publisher %d has the owner %q", s.Publisher, s.Owner)
			}
		}
		if err != nil {
			return fmt.Errorf("journal %d: %w", i, err)
		}
	}
	return nil
}

// exchangeRecords has both send until neither has anything for the other.
func exchangeRecords(js [2]*journal.Journal) error {
	for moved := 1; moved > 0; {
		n, err := sendRecords(js[0], js[1])
		if err != nil {
			return err
		}
		m, err := sendRecords(js[1], js[0])
		if err != nil {
			return err
		}
		moved = n + m
	}
	return nil
}

// sendRecords sends the records that to lacks, as a link does.
func sendRecords(from, to *journal.Journal) (sent int, err error) {
	f := from.Follow(from.First(), journal.Appended)
	defer f.Close()
	var r journal.Record
	for {
		ok, err := f.Next(&r)
		if err != nil || !ok {
			return sent, err
		}
		if s, _ := to.State(r.Publisher); r.Sequence <= s.Have {
			continue
		}
		v, err := to.Append(&r)
		if err != nil {
			return sent, err
		}
		if v == journal.Accepted {
			sent++
		}
	}
}
