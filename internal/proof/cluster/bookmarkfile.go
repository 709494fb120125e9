package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// A BookmarkFile is a bookmark store in a real file, since bbolt has no other disk.
// Nothing but the process dies here, so that the file need not be synced.
type BookmarkFile struct {
	Store *bookmarkstore.Bolt

	s      *System
	db     *bbolt.DB
	dir    string
	copies int // of the file: each life of the process has a copy
}

// BookmarkFile opens an empty store.
func (s *System) BookmarkFile() *BookmarkFile {
	s.TB.Helper()
	p := &BookmarkFile{s: s, dir: s.TB.TempDir()}
	p.open()
	s.TB.Cleanup(func() { p.close() })
	return p
}

func (p *BookmarkFile) path() string {
	return filepath.Join(p.dir, fmt.Sprintf("marks-%d.db", p.copies))
}

func (p *BookmarkFile) open() {
	p.s.TB.Helper()
	db, err := bbolt.Open(p.path(), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		p.s.TB.Fatal(err)
	}
	store, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	if err != nil {
		p.s.TB.Fatal(err)
	}
	p.db, p.Store = db, store
}

func (p *BookmarkFile) close() {
	p.Store.Close() // fails if the disk did
	p.db.Close()
}

// Configure has a client use the store.
func (p *BookmarkFile) Configure(c *client.Config) { c.BookmarkStore = p.Store }

// Sync waits until all discards are on disk.
func (p *BookmarkFile) Sync() {
	p.s.TB.Helper()
	if err := p.Store.Sync(context.Background()); err != nil {
		p.s.TB.Fatal(err)
	}
}

// FailCommits has every commit fail from here on.
func (p *BookmarkFile) FailCommits() {
	p.s.TB.Helper()
	if err := p.db.Close(); err != nil {
		p.s.TB.Fatal(err)
	}
}

// Kill kills an application that uses the store. Its next Restart finds the file as it
// was at that moment.
func (p *BookmarkFile) Kill(a *App) {
	p.s.TB.Helper()
	p.s.Advance(0)
	image, err := os.ReadFile(p.path())
	if err != nil {
		p.s.TB.Fatal(err)
	}
	a.Kill()
	p.close()
	p.copies++
	if err := os.WriteFile(p.path(), image, 0o600); err != nil {
		p.s.TB.Fatal(err)
	}
	p.open()
	a.Configure(p.Configure)
}

// Crash is Kill and Restart, with a configuration that configure, which may be
// nil, has changed.
func (p *BookmarkFile) Crash(a *App, configure func(*client.Config)) {
	p.s.TB.Helper()
	p.Kill(a)
	if configure != nil {
		a.Configure(configure)
	}
	a.Restart()
}
