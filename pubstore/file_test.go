package pubstore_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/pubstore/pubstoretest"
)

const dir = "store"

func openFile(t testing.TB, o pubstore.FileOptions) *pubstore.File {
	t.Helper()
	s, err := pubstore.OpenFile(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fileHarness opens stores on a disk in memory, with o in addition to the options of a case.
func fileHarness(o pubstore.FileOptions) func(*testing.T) pubstoretest.Harness {
	return func(*testing.T) pubstoretest.Harness {
		o := o
		var fs *memfs.FS
		return pubstoretest.Harness{
			Open: func(t *testing.T, c pubstoretest.Options) pubstore.Store {
				fs = memfs.New()
				o = testdoor.OnDisk(o, fs)
				o.BootID = boot("first")
				o.MaxMessages, o.MaxBytes, o.FailWhenFull = c.MaxMessages, c.MaxBytes, c.FailWhenFull
				return openFile(t, o)
			},
			Reopen: func(t *testing.T, _ pubstore.Store) pubstore.Store { return openFile(t, o) },
			Kill: func(t *testing.T, _ pubstore.Store, rebooted bool) pubstore.Store {
				fs = fs.Crash(memfs.KeepAll)
				o = testdoor.OnDisk(o, fs)
				if rebooted {
					o.BootID = boot("second")
				}
				return openFile(t, o)
			},
		}
	}
}

func TestFile(t *testing.T) {
	for name, o := range map[string]pubstore.FileOptions{
		"default":       {},
		"sync always":   {SyncAlways: true},
		"tiny segments": {SegmentBytes: 512},
	} {
		t.Run(name, func(t *testing.T) { pubstoretest.Run(t, fileHarness(o)) })
	}
	t.Run("a real directory", func(t *testing.T) { pubstoretest.Run(t, realHarness) })
}

func realHarness(t *testing.T) pubstoretest.Harness {
	root, n := t.TempDir(), 0
	var path string
	var o pubstore.FileOptions
	return pubstoretest.Harness{
		Open: func(t *testing.T, c pubstoretest.Options) pubstore.Store {
			n++
			path = fmt.Sprint(root, "/", n)
			o = pubstore.FileOptions{
				MaxMessages: c.MaxMessages, MaxBytes: c.MaxBytes, FailWhenFull: c.FailWhenFull, SegmentBytes: 1 << 20,
			}
			s, err := pubstore.OpenFile(path, o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Reopen: func(t *testing.T, _ pubstore.Store) pubstore.Store {
			s, err := pubstore.OpenFile(path, o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Kill: func(t *testing.T, _ pubstore.Store, _ bool) pubstore.Store {
			t.Skip("a process can't be killed within a test")
			return nil
		},
	}
}
