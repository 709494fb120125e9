// Package memfs is a disk in memory that tells written from durable. It implements
// seglog.FS, gives the images that a crash may leave behind, and fails on demand.
//
// It makes these assumptions about a disk. A write leaves the bytes around it alone.
// Changes that a successful Sync or SyncDir covered stay. A sector that is written with
// its own content never gets any other content. There is no order among unsynced changes,
// and no name is durable before its directory was synced. After a failed Sync the data
// can still be read, and will never be durable, however often Sync succeeds afterwards:
// kernels do that.
package memfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// ErrCrashed is the error of every call after a crash.
var ErrCrashed = errors.New("the disk's machine has crashed")

// unlimitedSpace is the result of Space for a disk without a capacity.
const unlimitedSpace = 1 << 40

// An FS is a disk. The zero value isn't one: use New.
type FS struct {
	mu       sync.Mutex
	files    map[string]*inode   // guarded by mu: names as they are
	durable  map[string]*inode   // guarded by mu: names that are durable
	dirs     map[string]bool     // guarded by mu: durable at once, see MkdirAll
	pending  []nameChange        // guarded by mu: not yet durable, in order
	locks    map[string]struct{} // guarded by mu
	inodes   int                 // guarded by mu: number of the newest
	crashed  bool                // guarded by mu
	capacity int64               // guarded by mu: 0 is unlimited
	delay    time.Duration       // guarded by mu
	faults   faults              // guarded by mu
}

// A nameChange is a create, rename or remove. Each stands for itself, so that
// any subset of them can be applied.
type nameChange struct {
	from string // empty: none
	to   string // empty: none
	node *inode // the file of the new name
}

func (c nameChange) apply(names map[string]*inode) {
	delete(names, c.from)
	if c.to != "" {
		names[c.to] = c.node
	}
}

func (c nameChange) in(dir string) bool {
	return c.from != "" && path.Dir(c.from) == dir || c.to != "" && path.Dir(c.to) == dir
}

// New returns an empty disk.
func New() *FS {
	return &FS{
		files:   make(map[string]*inode),
		durable: make(map[string]*inode),
		dirs:    map[string]bool{".": true, "/": true},
		locks:   make(map[string]struct{}),
	}
}

var _ seglog.FS = (*FS)(nil)

// MkdirAll makes dir and its parents, durable at once.
func (d *FS) MkdirAll(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dirs[path.Clean(dir)] {
		return d.readLocked()
	}
	if err := d.changeLocked(); err != nil {
		return pathError("mkdir", dir, err)
	}
	for dir = path.Clean(dir); !d.dirs[dir]; dir = path.Dir(dir) {
		d.dirs[dir] = true
	}
	return nil
}

// OpenFile opens a file, see seglog.FS.
func (d *FS) OpenFile(name string, flag int) (seglog.File, error) {
	name = path.Clean(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.files[name]
	change := n == nil || flag&os.O_TRUNC != 0
	err := d.readLocked()
	switch {
	case err != nil:
	case n == nil && flag&os.O_CREATE == 0, !d.dirs[path.Dir(name)]:
		err = fs.ErrNotExist
	case n != nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		err = fs.ErrExist
	case change:
		err = d.changeLocked()
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if n == nil {
		n = d.newInodeLocked()
		d.renameLocked(nameChange{to: name, node: n})
	}
	if flag&os.O_TRUNC != 0 && n.now.size > 0 {
		n.change(op{size: 0})
	}
	return &file{d: d, n: n, name: name}, nil
}

// Map opens a file whose writes may reach the disk at any time, see seglog.FS:
// of many only the newest are not there yet.
func (d *FS) Map(name string, _ int64) (seglog.File, error) {
	f, err := d.OpenFile(name, 0)
	if err != nil {
		return nil, err
	}
	f.(*file).mapped = true
	return f, nil
}

func (d *FS) newInodeLocked() *inode {
	d.inodes++
	return &inode{number: d.inodes}
}

func (d *FS) renameLocked(c nameChange) {
	c.apply(d.files)
	d.pending = append(d.pending, c)
}

// Rename renames a file. It is durable once its directory is synced.
func (d *FS) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.files[from]
	err := d.changeLocked()
	if err == nil && (n == nil || !d.dirs[path.Dir(to)]) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return pathError("rename", from, err)
	}
	d.renameLocked(nameChange{from: from, to: to, node: n})
	return nil
}

// Remove removes a file, or an empty directory. A file that is open can still be read.
func (d *FS) Remove(name string) error {
	name = path.Clean(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.changeLocked()
	switch {
	case err != nil:
	case d.dirs[name] && len(d.namesLocked(name)) > 0:
		err = errors.New("directory not empty")
	case d.dirs[name]:
		delete(d.dirs, name)
	case d.files[name] == nil:
		err = fs.ErrNotExist
	default:
		d.renameLocked(nameChange{from: name})
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	return nil
}

// ReadDir returns the names in dir, sorted.
func (d *FS) ReadDir(dir string) ([]string, error) {
	dir = path.Clean(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.readLocked()
	if err == nil && !d.dirs[dir] {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, pathError("readdir", dir, err)
	}
	return d.namesLocked(dir), nil
}

func (d *FS) namesLocked(dir string) []string {
	var names []string
	add := func(name string) {
		if path.Dir(name) == dir && name != dir {
			names = append(names, path.Base(name))
		}
	}
	for name := range d.files {
		add(name)
	}
	for name := range d.dirs {
		add(name)
	}
	slices.Sort(names)
	return names
}

// SyncDir makes the names in dir durable.
func (d *FS) SyncDir(dir string) error {
	dir = path.Clean(dir)
	d.sleep()
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.changeLocked()
	if err == nil && !d.dirs[dir] {
		err = fs.ErrNotExist
	}
	if err != nil {
		return pathError("sync", dir, err)
	}
	var left []nameChange
	for _, c := range d.pending {
		if c.in(dir) {
			c.apply(d.durable)
		} else {
			left = append(left, c)
		}
	}
	d.pending = left
	return nil
}

// Lock locks a directory, see seglog.FS. A crash releases it.
func (d *FS) Lock(dir string) (io.Closer, error) {
	name := path.Clean(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.readLocked(); err != nil {
		return nil, pathError("lock", name, err)
	}
	if _, held := d.locks[name]; held {
		return nil, pathError("lock", name, seglog.ErrLocked)
	}
	d.locks[name] = struct{}{}
	return &lock{d: d, name: name}, nil
}

type lock struct {
	d    *FS
	name string
	once sync.Once
}

func (l *lock) Close() error {
	l.once.Do(func() {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		delete(l.d.locks, l.name)
	})
	return nil
}

// Space returns the bytes left of Capacity, and Capacity.
func (d *FS) Space(string) (free, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed { // it is asked at times of its own: not one of the reads that are counted
		return 0, 0, ErrCrashed
	}
	if d.capacity == 0 {
		return unlimitedSpace, unlimitedSpace, nil
	}
	return d.freeLocked(), d.capacity, nil
}

func (d *FS) freeLocked() int64 {
	if d.capacity == 0 {
		return unlimitedSpace
	}
	left := d.capacity
	for _, n := range d.files {
		left -= n.now.size
	}
	return max(left, 0)
}

// sleep waits as long as a sync takes, without any lock.
func (d *FS) sleep() {
	d.mu.Lock()
	delay := d.delay
	d.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Names returns the path of every file, sorted.
func (d *FS) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, 0, len(d.files))
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ReadFile returns the content of a file, faults aside.
func (d *FS) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.files[path.Clean(name)]
	if n == nil {
		return nil, pathError("read", name, fs.ErrNotExist)
	}
	b := make([]byte, n.now.size)
	copy(b, n.now.data)
	return b, nil
}

// WriteFile makes a file with b in it, with its directory, durable, faults aside.
func (d *FS) WriteFile(name string, b []byte) {
	name = path.Clean(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	for dir := path.Dir(name); !d.dirs[dir]; dir = path.Dir(dir) {
		d.dirs[dir] = true
	}
	n := d.newInodeLocked()
	n.change(op{data: slices.Clone(b)})
	n.durable, n.pending = n.now.clone(), nil
	d.files[name], d.durable[name] = n, n
}

// String lists the files with their sizes, for a test that failed.
func (d *FS) String() string {
	var b strings.Builder
	for _, name := range d.Names() {
		d.mu.Lock()
		n := d.files[name]
		fmt.Fprintf(&b, "%s: %d bytes, %d changes not durable\n", name, n.now.size, len(n.pending))
		d.mu.Unlock()
	}
	return b.String()
}
