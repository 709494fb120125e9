package crashimages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// DamageFile runs a script of File, closes the store, and damages it in every way, or in
// a sample of all. The store opens with all its messages, or reports the damage; then
// AcceptDamage opens it with all but the damaged messages, also if the process dies in
// the middle and opens it once more.
func DamageFile(seed uint64, share int) (damages int, err error) {
	disk := memfs.New()
	life := File.New(seed)
	if err := runScript(life, disk); err != nil {
		return 0, err
	}
	disk = durableCopy(disk)
	kept, err := keptMessages(disk.Image(memfs.KeepAll), false)
	if err != nil {
		return 0, err
	}
	r := newRand(seed)
	for d := range sample(share, Damages(disk)) {
		damages++
		if err := damageFile(disk, d, kept, r); err != nil {
			return damages, fmt.Errorf("file, seed %d, %v: %w", seed, d, err)
		}
	}
	return damages, nil
}

// crashDuring has something be done to a disk that dies meanwhile, and returns one of
// the disks that may be left, where that has to be done again.
func crashDuring(disk *memfs.FS, r *rand.Rand, do func(*memfs.FS) error) (left *memfs.FS, err error) {
	tried := disk.Image(memfs.KeepAll)
	tried.CrashAt(1 + r.IntN(30))
	err = do(tried)
	if err != nil && !tried.Crashed() {
		return nil, Violatef("%v", err)
	}
	modes := memfs.Modes(r.Uint64())
	left = tried.Crash(modes[r.IntN(len(modes))])
	if err == nil {
		return disk, nil // nothing is left to be done
	}
	return left, nil
}

func damageFile(disk *memfs.FS, d Damage, kept map[string][]uint64, r *rand.Rand) error {
	damaged := disk.Image(memfs.KeepAll)
	d.Apply(damaged)
	found, err := keptMessages(damaged, false)
	if err == nil {
		return checkMissing(kept, found, nil)
	}
	if _, ok := errors.AsType[*pubstore.DamagedError](err); !ok {
		return Violatef("refused with %v", err)
	}
	if damaged, err = crashDuring(damaged, r, func(disk *memfs.FS) error {
		_, err := keptMessages(disk, true)
		return err
	}); err != nil {
		return err
	}
	if found, err = keptMessages(damaged, true); err != nil {
		return Violatef("with AcceptDamage: %v", err)
	}
	if err = checkMissing(kept, found, d.frames); err != nil {
		return err
	}
	// It continues as a store without damage.
	again, err := keptMessages(damaged, false)
	if err != nil {
		return Violatef("opened again: %v", err)
	}
	return checkMissing(found, again, nil)
}

// keptMessages opens the store on a disk and returns the messages that it keeps, by life.
func keptMessages(disk *memfs.FS, accept bool) (kept map[string][]uint64, err error) {
	s, err := pubstore.OpenFile("store", testdoor.OnDisk(pubstore.FileOptions{
		SegmentBytes: 700, AcceptDamage: accept, BootID: func() (string, error) { return "boot 0", nil },
	}, disk))
	if err != nil {
		return nil, err
	}
	w := &PublishStoreModel{store: s}
	kept = make(map[string][]uint64)
	for _, l := range s.Lives() {
		f, err := w.findStream(l)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		kept[l.ID] = f.kept
	}
	return kept, s.Close()
}

// checkMissing reports a message that is there no more, and whose record is not
// among those that were hit.
func checkMissing(kept, found map[string][]uint64, hit []frame) error {
	for life, all := range kept {
		for _, seq := range all {
			if !slices.Contains(found[life], seq) && !isDamaged(seq, hit) {
				return Violatef("message %d of %s is missing: found %v", seq, life, found[life])
			}
		}
	}
	return nil
}

// isDamaged reports whether the record of a message with a sequence is among
// those that were damaged: kind 0x10, its sequence where package record has it, after the time.
func isDamaged(seq uint64, hit []frame) bool {
	return slices.ContainsFunc(hit, func(f frame) bool {
		return f.kind == 0x10 && binary.LittleEndian.Uint64(f.payload[8+16:]) == seq
	})
}
