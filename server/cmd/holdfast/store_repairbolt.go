package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// repairBolt repairs the stores in a database. It copies everything that can be read to
// a new database, in which the stores give up the rest. The new database takes the
// place of the damaged one, which gets another name. Without --yes the new database is
// made in a temporary directory and removed.
func (c *storeRepair) repairBolt(r *repairReport) error {
	damage, err := damageOf(c.Path)
	if err != nil || len(damage) == 0 {
		return err
	}
	r.Needed, r.Damage, r.Aside = true, damage, asideName(c.Path, time.Now())
	work := "" // the system's directory for temporary files
	if c.Yes {
		work = filepath.Dir(c.Path) // the same file system, so that a rename works
	}
	dir, err := os.MkdirTemp(work, ".holdfast-repair-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fresh := filepath.Join(dir, filepath.Base(c.Path))
	if err := r.rebuild(c.Path, fresh); err != nil || !c.Yes {
		return err
	}
	return r.replace(c.Path, fresh)
}

// damageOf returns all damage of the stores at path. The error is about a problem that
// a repair does not solve.
func damageOf(path string) (all []string, err error) {
	stores, err := readStores(path, false)
	if _, is := errors.AsType[*boltfile.DamageError](err); is {
		return []string{err.Error()}, nil
	}
	for _, s := range stores {
		all = append(all, s.Damage...)
	}
	return all, err
}

// rebuild makes a new database from the readable part of a damaged one.
func (r *repairReport) rebuild(path, fresh string) error {
	db, err := boltfile.Open(fresh, &bbolt.Options{FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer db.Close()
	losses, err := boltfile.Rescue(path, db)
	if _, is := errors.AsType[*boltfile.DamageError](err); is {
		return &exitError{exitFault, fmt.Errorf("%w: nothing in it is readable: restore a backup", err)}
	}
	if err != nil {
		return withAdvice(path, err)
	}
	r.Lost = mapSlice(losses, func(l boltfile.Loss) lossReport { return lossReport{l.String(), l.Offset} })
	stores, _, err := findStores(db, false)
	if err != nil {
		return err
	}
	if err := checkRepairable(path, db, stores, losses); err != nil {
		return err
	}
	for _, s := range stores {
		if err := r.repairStore(db, s, losses); err != nil {
			return err
		}
	}
	return db.Close()
}

// checkRepairable returns an error if a repair would do harm: if a store has lost the
// part that records its sent messages, the repaired store would start as if it were new.
func checkRepairable(path string, db *bbolt.DB, stores []*storeReport, losses []boltfile.Loss) error {
	for _, l := range losses {
		const metas = 2
		if len(l.Bucket) == 0 && l.Page >= metas {
			return &exitError{exitFault, fmt.Errorf("%s: %v: it is unknown which stores it held: restore a backup", path, l)}
		}
		if len(l.Bucket) == 0 || slices.ContainsFunc(stores, func(s *storeReport) bool { return s.Bucket == string(l.Bucket[0]) }) {
			continue
		}
		if wasStore(db, l.Bucket[0]) {
			return &exitError{exitFault, fmt.Errorf("%s: %v: if that was a store, its state is lost: restore a backup", path, l)}
		}
	}
	return nil
}

// wasStore reports whether a bucket may be the remainder of a store that can no longer
// be recognized.
func wasStore(db *bbolt.DB, name []byte) (maybe bool) {
	_ = db.View(func(tx *bbolt.Tx) error { // never an error
		b := tx.Bucket(name)
		if b == nil {
			maybe = true
			return nil
		}
		key, _ := b.Cursor().First()
		maybe = key == nil || b.Get([]byte("state")) != nil || b.Bucket([]byte("subscriptions")) != nil
		return b.ForEachBucket(func(key []byte) error {
			maybe = maybe || len(key) == 8 // lives of a publish store have names of 8 bytes
			return nil
		})
	})
	return maybe
}

// repairStore repairs one store in the new database, if it is damaged or has lost pages.
func (r *repairReport) repairStore(db *bbolt.DB, s *storeReport, losses []boltfile.Loss) error {
	lost := slices.ContainsFunc(losses, func(l boltfile.Loss) bool {
		return len(l.Bucket) == 0 || string(l.Bucket[0]) == s.Bucket
	})
	switch {
	case s.Sound && !lost:
		return nil
	case s.Publish == nil:
		return r.repairBookmarks(db, s.Bucket)
	}
	r.Stores = append(r.Stores, newRepairedReport(s))
	return renewStore(db, s.Bucket)
}

// renewStore opens a publish store with AcceptDamage and begins a new life. The damage may
// hide the numbers that were given out last, and no number may get two contents (R10).
func renewStore(db *bbolt.DB, bucket string) error {
	s, err := pubstore.OpenBoltIn(db, bucket, pubstore.BoltOptions{AcceptDamage: true})
	if err != nil {
		return err
	}
	lives := s.Lives()
	if lives[len(lives)-1].Last > 0 {
		err = s.Renew()
	}
	return errors.Join(err, s.Close())
}

// repairBookmarks removes the unreadable parts of a bookmark store.
func (r *repairReport) repairBookmarks(db *bbolt.DB, bucket string) error {
	repaired, err := bookmarkstore.RepairBolt(db, bucket)
	if err != nil {
		return err
	}
	now, err := bookmarkstore.InspectBolt(db, bucket)
	if err != nil {
		return err
	}
	report := repairedReport{Bucket: bucket, Kind: "bookmark", Kept: len(now), Subscriptions: []repairedSubscription{}}
	for _, s := range repaired {
		sub := repairedSubscription{Subscription: s.ID, Dropped: s.Dropped, Gone: s.Gone}
		for i := range now {
			if now[i].ID == s.ID {
				sub.Resume = subscriptionOf(&now[i]).Resume
			}
		}
		report.Subscriptions = append(report.Subscriptions, sub)
	}
	r.Stores = append(r.Stores, report)
	return nil
}

// replace renames the damaged database, and then gives the new one its name. At every
// moment one of the two has that name.
func (r *repairReport) replace(path, fresh string) error {
	info, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(fresh, info.Mode().Perm())
	}
	if err == nil && os.Link(path, r.Aside) != nil {
		err = copyFile(path, r.Aside) // the file system has no hard links
	}
	if err == nil {
		err = boltfile.SyncDir(filepath.Dir(path))
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		err = boltfile.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("replace %s with the repaired database: %w", path, err)
	}
	return r.verify(path)
}
