package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeRepair is "store repair".
type storeRepair struct {
	Path string `arg:"" help:"${store_path}"`
	Yes  bool   `help:"Make the repair. Without it, the repair is only described."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *storeRepair) Run(o *output) error {
	info, err := os.Stat(c.Path)
	if err == nil && c.Yes && !isOwn(info) {
		return usageErrorf("%s belongs to another user: repair it as that user", c.Path)
	}
	report := &repairReport{Path: c.Path, Damage: []string{}, Lost: []lossReport{}, Stores: []repairedReport{}}
	if err == nil && info.IsDir() {
		err = c.repairFile(report)
	} else {
		err = c.repairBolt(report)
	}
	if err != nil {
		return err
	}
	return o.report(c.JSON, report.Done || !report.Needed, report, func() { report.print(o) })
}

// repairFile repairs a file store. It copies the directory aside, then opens the store
// with AcceptDamage, which keeps everything readable.
func (c *storeRepair) repairFile(r *repairReport) error {
	s, err := readFileStore(c.Path, false)
	if err != nil {
		return err
	}
	if s.Sound {
		return nil
	}
	r.Needed, r.Damage = true, s.Damage
	if len(s.Publish.Lives) == 0 {
		return &exitError{exitFault, fmt.Errorf("%s: the store's owner and lives are unreadable, so no message can be kept (%s): restore a backup", c.Path, s.Damage[0])}
	}
	r.Stores = append(r.Stores, newRepairedReport(s))
	r.Aside = asideName(c.Path, time.Now())
	if !c.Yes {
		return nil
	}
	if err := copyAside(c.Path, r.Aside); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	const any = 1 << 30 // the application's limits are not known, so these are large
	opened, err := pubstore.OpenFile(c.Path, pubstore.FileOptions{AcceptDamage: true, MaxBytes: any, MaxMessage: any / 2})
	if err == nil {
		err = opened.Close()
	}
	if err != nil {
		return fmt.Errorf("%w; the damaged store is in %s", withAdvice(c.Path, err), r.Aside)
	}
	return r.verify(c.Path)
}

// newRepairedReport returns the report of a damaged publish store, with the messages
// that opening it would give up.
func newRepairedReport(s *storeReport) repairedReport {
	r := repairedReport{Bucket: s.Bucket, Kind: s.Kind, Kept: s.Publish.ToSend, NewLife: true, GivenUp: []givenUpReport{}}
	for _, l := range s.Publish.Lives {
		if len(l.Missing) > 0 {
			r.GivenUp = append(r.GivenUp, givenUpReport{l.Publisher, l.Missing})
		}
	}
	return r
}

// verify checks that the store at path is sound now, and sets Done.
func (r *repairReport) verify(path string) error {
	damage, err := damageOf(path)
	if err != nil {
		return err
	}
	if len(damage) > 0 {
		return &exitError{exitFault, fmt.Errorf("%s is still damaged (%s): restore a backup; the store before the repair is in %s", path, damage[0], r.Aside)}
	}
	r.Done = true
	return nil
}

// asideName returns an unused name beside path for the damaged store.
func asideName(path string, now time.Time) string {
	base := filepath.Clean(path) + ".damaged-" + now.UTC().Format("20060102T150405Z")
	name := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

// copyAside copies a file store that no process uses. On an error no copy is left.
func copyAside(dir, aside string) error {
	lock, err := seglog.ReadOnly.Lock(filepath.ToSlash(dir))
	if err != nil {
		return withAdvice(dir, err)
	}
	defer lock.Close()
	tmp := aside + ".tmp"
	err = copyTree(dir, tmp)
	if err == nil {
		err = os.Rename(tmp, aside)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy %s aside: %w", dir, err), os.RemoveAll(tmp))
	}
	return boltfile.SyncDir(filepath.Dir(aside))
}

// copyTree copies the files of a directory and its subdirectories.
func copyTree(from, to string) error {
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		switch {
		case e.IsDir():
			return os.Mkdir(target, 0o700)
		case e.Type().IsRegular():
			return copyFile(path, target)
		}
		return nil
	})
	if err == nil {
		err = boltfile.SyncDir(to)
	}
	return err
}

// copyFile copies a file and syncs the copy, which must not exist yet.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, source)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
