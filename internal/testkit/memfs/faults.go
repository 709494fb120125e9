package memfs

import (
	"path"
	"time"
)

// faults counts down to the next faults. Zero is never.
type faults struct {
	changes   int // made or tried so far
	reads     int
	crashAt   int // before this change
	failAt    int // this change
	failErr   error
	readAt    int // this read
	readErr   error
	shortAt   int // this write from now
	shortErr  error
	syncErr   error
	permanent bool
}

// changeLocked counts a change and says how it fails, if it is to.
func (d *FS) changeLocked() error {
	f := &d.faults
	if !d.crashed {
		f.changes++
		d.crashed = f.changes == f.crashAt
	}
	if d.crashed {
		return ErrCrashed
	}
	if f.failAt > 0 && (f.changes == f.failAt || f.permanent && f.changes > f.failAt) {
		return f.failErr
	}
	return nil
}

// readLocked does the same for a read.
func (d *FS) readLocked() error {
	if d.crashed {
		return ErrCrashed
	}
	d.faults.reads++
	if d.faults.reads == d.faults.readAt {
		return d.faults.readErr
	}
	return nil
}

func (f *faults) shortWrite() (bool, error) {
	if f.shortAt == 0 {
		return false, nil
	}
	f.shortAt--
	return f.shortAt == 0, f.shortErr
}

func (f *faults) nextSync() error {
	err := f.syncErr
	f.syncErr = nil
	return err
}

// Changes returns how many changes were made or tried: opening to create or
// truncate, writing, resizing, syncing, renaming, removing.
func (d *FS) Changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.changes
}

// Reads returns how often the disk was read: opening, reading, listing, sizes.
func (d *FS) Reads() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults.reads
}

// CrashAt lets the machine die before the nth change from now, 1 is the next:
// it and everything after it fails with ErrCrashed. Crash then gives an image.
func (d *FS) CrashAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.crashAt = d.faults.changes + n
}

// Crashed reports whether that has happened.
func (d *FS) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// FailNth lets the nth change from now fail with err, 1 is the next; those after it succeed.
func (d *FS) FailNth(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.failAt, d.faults.failErr, d.faults.permanent = d.faults.changes+n, err, false
}

// FailFrom lets the nth change from now and all after it fail with err.
func (d *FS) FailFrom(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.failAt, d.faults.failErr, d.faults.permanent = d.faults.changes+n, err, true
}

// FailReadNth lets the nth read from now fail with err, see Reads.
func (d *FS) FailReadNth(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.readAt, d.faults.readErr = d.faults.reads+n, err
}

// ShortWriteNth lets the nth write from now write half of its bytes only and
// return err, which may be nil.
func (d *FS) ShortWriteNth(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.shortAt, d.faults.shortErr = n, err
}

// FailSync lets the next sync of a file fail with err; those after it succeed, and don't
// make the omitted changes durable.
func (d *FS) FailSync(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.syncErr = err
}

// SetSyncDelay lets each sync take that long.
func (d *FS) SetSyncDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// SetCapacity bounds the bytes of all files together, beyond it is ENOSPC. Zero: no bound.
func (d *FS) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// Flip inverts the lowest bit of a byte at rest, also in the durable content.
func (d *FS) Flip(name string, offset int64) { d.FlipBits(name, offset, 1) }

// FlipBits inverts the bits of mask in a byte at rest.
func (d *FS) FlipBits(name string, offset int64, mask byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.files[path.Clean(name)]
	if n == nil {
		panic("BUG: memfs.Flip in a file that doesn't exist: " + name)
	}
	for _, c := range []*content{&n.now, &n.durable} {
		if offset >= c.size {
			continue
		}
		var b byte
		if offset < int64(len(c.data)) {
			b = c.data[offset]
		}
		c.write([]byte{b ^ mask}, offset)
	}
}

// Wipe empties the disk, as if another one had been put in its place.
func (d *FS) Wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := New()
	d.files, d.durable, d.dirs, d.pending = fresh.files, fresh.durable, fresh.dirs, nil
}
