package pubstore_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A descriptorlessFS is a disk that cannot open files during a shortage.
type descriptorlessFS struct {
	*memfs.FS

	mu    sync.Mutex
	until time.Time // guarded by mu
	err   error     // guarded by mu
	tries int       // failed ones; guarded by mu
}

func (d *descriptorlessFS) startShortage(err error, lasts time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until, d.err, d.tries = time.Now().Add(lasts), err, 0
}

func (d *descriptorlessFS) failedTries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tries
}

func (d *descriptorlessFS) open(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		d.tries++
		return &fs.PathError{Op: "open", Path: name, Err: d.err}
	}
	return nil
}

func (d *descriptorlessFS) OpenFile(name string, flag int) (seglog.File, error) {
	if err := d.open(name); err != nil {
		return nil, err
	}
	return d.FS.OpenFile(name, flag)
}

func (d *descriptorlessFS) SyncDir(dir string) error {
	if err := d.open(dir); err != nil {
		return err
	}
	return d.FS.SyncDir(dir)
}

// A shortage of file descriptors for some seconds is not a disk failure (R7). A store waits if it
// creates its next file or reads an old one in that time. Other errors, and a shortage that does
// not end, fail the store.
func TestNoDescriptors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		lasts time.Duration
		fails bool
	}{
		{"of the process", syscall.EMFILE, 3 * time.Second, false},
		{"of the system", syscall.ENFILE, 20 * time.Second, false},
		{"for long", syscall.EMFILE, time.Hour, true},
		{"another error", syscall.EIO, 3 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Run("next file", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testNoDescriptors(t, tt.err, tt.lasts, tt.fails, appendMany) })
			})
			t.Run("old file", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testNoDescriptors(t, tt.err, tt.lasts, tt.fails, readAll) })
			})
		})
	}
}

const manyMessages = 200 // of 1 KiB: several files

func testNoDescriptors(t *testing.T, lack error, lasts time.Duration, fails bool, use func(*pubstore.File) error) {
	d := &descriptorlessFS{FS: memfs.New()}
	o := testdoor.OnDisk(pubstore.FileOptions{SegmentBytes: 32 << 10}, d)
	s := openFile(t, o)
	if err := appendMany(s); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s) // new messages would be in memory, too
	s = openFile(t, o)
	began := time.Now()
	d.startShortage(lack, lasts)
	err := use(s)
	if d.failedTries() == 0 {
		t.Fatal("no file was opened during the shortage")
	}
	if fails {
		failed, ok := errors.AsType[*pubstore.FailedError](err)
		if !ok || !errors.Is(failed, lack) || time.Since(began) > time.Minute {
			t.Errorf("%v after %v, want a *FailedError", err, time.Since(began))
		}
		s.Close()
		return
	}
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	if waited := time.Since(began); waited < lasts || waited > lasts+time.Second {
		t.Errorf("waited for %v, the shortage lasted for %v", waited, lasts)
	}
	if err := readAll(s); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
}

func appendMany(s *pubstore.File) error {
	for range manyMessages {
		if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: make([]byte, 1<<10)}); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads all messages in the store.
func readAll(s *pubstore.File) error {
	c, err := s.Cursor(s.Lives()[0].ID, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	var m pubstore.Message
	for want := uint64(1); ; want++ {
		more, err := c.Next(&m)
		switch {
		case err != nil:
			return err
		case !more && want > manyMessages:
			return nil
		case !more || m.Sequence != want:
			return errors.New("messages are missing")
		}
	}
}
