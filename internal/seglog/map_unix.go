//go:build unix

package seglog

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// A mappedFile is a memory-mapped file. A write is a copy to the mapping; the kernel keeps the
// copied bytes even if the process dies. Only one goroutine at a time may write or close it.
type mappedFile struct {
	osFile
	mem []byte
}

func mapFile(f osFile, size int64) (File, error) {
	have, err := f.Size()
	if err == nil && have < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, &os.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return &mappedFile{osFile: f, mem: mem}, nil
}

// WriteAt implements File. If the disk has no block for a page, the access faults, and WriteAt
// returns the fault as an error. A copy-on-write file system can run out of space here.
func (f *mappedFile) WriteAt(b []byte, at int64) (n int, err error) {
	if at < 0 || at > int64(len(f.mem)) || len(b) > len(f.mem)-int(at) {
		return 0, &os.PathError{Op: "write", Path: f.Name(), Err: io.ErrShortWrite}
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			n, err = 0, &os.PathError{Op: "write", Path: f.Name(), Err: fmt.Errorf("mapped page: %v", fault)}
		}
	}()
	return copy(f.mem[at:], b), nil
}

// Close implements File.
func (f *mappedFile) Close() error {
	err := unix.Munmap(f.mem)
	f.mem = nil
	return cmp.Or(err, f.osFile.Close())
}
