//go:build !linux

package seglog

// Preallocate only grows the file on this system.
func (f osFile) Preallocate(size int64) error { return f.grow(size) }

// Sync calls the method of os.File.
func (f osFile) Sync() error { return f.File.Sync() }
