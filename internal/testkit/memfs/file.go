package memfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// An inode is a file without its name. FS.mu guards it.
type inode struct {
	number  int     // in order of creation
	now     content // the content for a reader
	durable content // the durable content
	pending []op    // the changes from durable to now, unless a sync failed
}

// content is the bytes of a file; bytes after the end of data are zero.
type content struct {
	data   []byte
	size   int64
	shared bool // data belongs to clones too: it is copied before it changes
}

func (c *content) clone() content {
	c.shared = true
	return *c
}

// makeUnique makes data c's alone, with room for n bytes.
func (c *content) makeUnique(n int64) {
	if c.shared {
		c.data = append(make([]byte, 0, max(n, int64(len(c.data)))), c.data...)
		c.shared = false
	}
}

// An op is one change: data written at at or, without data, the size set.
type op struct {
	at   int64
	data []byte
	size int64
}

func (o op) apply(c *content) {
	if o.data != nil {
		c.write(o.data, o.at)
		return
	}
	c.size = o.size
	if int64(len(c.data)) > o.size {
		c.makeUnique(0)
		clear(c.data[o.size:])
		c.data = c.data[:o.size]
	}
}

func (c *content) write(b []byte, at int64) {
	end := at + int64(len(b))
	c.makeUnique(end)
	if have := int64(len(c.data)); end > have {
		c.data = append(c.data, make([]byte, end-have)...)
	}
	copy(c.data[at:], b)
	c.size = max(c.size, end)
}

func (n *inode) change(o op) {
	o.apply(&n.now)
	n.pending = append(n.pending, o)
}

// mappedPending is how many writes to a mapped file, which is never synced, wait for the
// disk: few, or most images of a crash would differ only in them.
const mappedPending = 3

// writeBack brings the oldest changes to the disk, as the system does without a sync.
func (n *inode) writeBack() {
	for len(n.pending) > mappedPending {
		n.pending[0].apply(&n.durable)
		n.pending = slices.Delete(n.pending, 0, 1)
	}
}

// A file is an open one.
type file struct {
	d      *FS
	n      *inode
	name   string
	mapped bool // see FS.Map
	closed bool // guarded by d.mu
}

// errLocked reports why nothing can be done with f.
func (f *file) errLocked() error {
	if f.closed {
		return fs.ErrClosed
	}
	return nil
}

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := errors.Join(f.errLocked(), f.d.readLocked())
	if err == nil && at < 0 {
		err = fs.ErrInvalid
	}
	if err != nil {
		return 0, pathError("read", f.name, err)
	}
	c := f.n.now
	if at >= c.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), c.size-at))
	have := 0
	if at < int64(len(c.data)) {
		have = copy(b[:n], c.data[at:])
	}
	clear(b[have:n])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.errLocked()
	if err == nil {
		err = f.d.changeLocked()
	}
	if err == nil && at < 0 {
		err = fs.ErrInvalid
	}
	if err != nil {
		return 0, pathError("write", f.name, err)
	}
	n := len(b)
	if short, serr := f.d.faults.shortWrite(); short {
		n, err = n/2, serr
	}
	if over := at + int64(n) - f.n.now.size - f.d.freeLocked(); over > 0 {
		n, err = max(n-int(over), 0), syscall.ENOSPC
	}
	if n > 0 {
		f.n.change(op{at: at, data: append([]byte{}, b[:n]...)})
	}
	if f.mapped {
		f.n.writeBack()
	}
	if err != nil {
		return n, pathError("write", f.name, err)
	}
	return n, nil
}

func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := errors.Join(f.errLocked(), f.d.readLocked()); err != nil {
		return 0, pathError("stat", f.name, err)
	}
	return f.n.now.size, nil
}

// Data returns at and the end of the written bytes.
func (f *file) Data(at int64) (from, to int64) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if to = int64(len(f.n.now.data)); to <= at {
		return f.n.now.size, f.n.now.size
	}
	return at, to
}

func (f *file) Truncate(size int64) error { return f.resize("truncate", size, false) }

func (f *file) Preallocate(size int64) error { return f.resize("preallocate", size, true) }

func (f *file) resize(operation string, size int64, growOnly bool) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.errLocked()
	if err == nil {
		err = f.d.changeLocked()
	}
	switch {
	case err != nil:
	case size < 0:
		err = fs.ErrInvalid
	case growOnly && size <= f.n.now.size:
		return nil
	case size-f.n.now.size > f.d.freeLocked():
		err = syscall.ENOSPC
	}
	if err != nil {
		return pathError(operation, f.name, err)
	}
	f.n.change(op{size: size})
	return nil
}

// Sync makes durable all changes made before it began. It takes the time of SetSyncDelay.
func (f *file) Sync() error {
	f.d.mu.Lock()
	err := f.errLocked()
	if err == nil {
		err = f.d.changeLocked()
	}
	if err == nil {
		err = f.d.faults.nextSync()
	}
	covered := len(f.n.pending)
	if err != nil && !f.d.crashed {
		// The pages are clean now, and not on the disk.
		f.n.pending = nil
	}
	f.d.mu.Unlock()
	if err != nil {
		return pathError("sync", f.name, err)
	}

	f.d.sleep()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return pathError("sync", f.name, ErrCrashed)
	}
	// Another sync may have been faster.
	covered = min(covered, len(f.n.pending))
	for _, o := range f.n.pending[:covered] {
		o.apply(&f.n.durable)
	}
	f.n.pending = append([]op(nil), f.n.pending[covered:]...)
	return nil
}
