package pubstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestFileLocked(t *testing.T) {
	path := t.TempDir()
	s, err := pubstore.OpenFile(path, pubstore.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pubstore.OpenFile(path, pubstore.FileOptions{}); !errors.Is(err, pubstore.ErrLocked) {
		t.Fatalf("opening it a second time: %v, want ErrLocked", err)
	}
	closeStore(t, s)
	s, err = pubstore.OpenFile(path, pubstore.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
}

// TestBootUnknown opens a store without a boot id. The store continues its life if it was closed,
// and begins a new one otherwise.
func TestBootUnknown(t *testing.T) {
	fs := memfs.New()
	o := testdoor.OnDisk(pubstore.FileOptions{BootID: func() (string, error) { return "", errors.New("none") }}, fs)
	s := openFile(t, o)
	life := s.Lives()[0].ID
	publish(t, s, 2)
	closeStore(t, s)

	s = openFile(t, o)
	if lives := s.Lives(); len(lives) != 1 || lives[0].ID != life {
		t.Fatalf("lives are %+v after a clean close, want %s", lives, life)
	}
	o = testdoor.OnDisk(o, fs.Crash(memfs.KeepAll))
	s = openFile(t, o)
	if lives := s.Lives(); len(lives) != 2 || lives[0].ID != life || lives[0].Kept != 2 {
		t.Fatalf("lives are %+v after a kill, want %s and a new one", lives, life)
	}
}

// TestFilePowerCut checks the promise of SyncAlways: the power fails right after Append has
// returned. It does not depend on the timing of the committer.
func TestFilePowerCut(t *testing.T) {
	for _, always := range []bool{true, false} {
		fs := memfs.New()
		o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncAlways: always, SyncInterval: time.Hour}, fs)
		s := openFile(t, o)
		life := s.Lives()[0].ID
		publish(t, s, 5)
		o = testdoor.OnDisk(o, fs.Crash(memfs.Durable))
		o.BootID = boot("second")
		s = openFile(t, o)
		lives := s.Lives()
		if lives[len(lives)-1].ID == life {
			t.Fatalf("sync always %v: the life continues after a power cut", always)
		}
		if kept := lives[0].ID == life && lives[0].Kept == 5; kept != always {
			t.Fatalf("sync always %v: lives are %+v", always, lives)
		}
	}
}

// TestFileKillThenPowerCut opens a store after a kill. The recovered data may have been in the
// page cache only, and must be on the disk once the store is open (R7).
func TestFileKillThenPowerCut(t *testing.T) {
	fs := memfs.New()
	o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncInterval: time.Hour}, fs)
	publish(t, openFile(t, o), 5)
	fs = fs.Crash(memfs.KeepAll)
	o = testdoor.OnDisk(o, fs)
	if l := openFile(t, o).Lives(); len(l) != 1 || l[0].Kept != 5 {
		t.Fatalf("lives are %+v after a kill", l)
	}
	o = testdoor.OnDisk(o, fs.Crash(memfs.Durable))
	o.BootID = boot("second")
	if l := openFile(t, o).Lives(); len(l) != 2 || l[0].Kept != 5 {
		t.Fatalf("lives are %+v after a power cut, want the old one with 5 messages", l)
	}
}

// TestFileSyncInterval cuts the power after SyncInterval.
func TestFileSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncInterval: 3 * time.Second}, fs)
		s := openFile(t, o)
		publish(t, s, 5)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		o = testdoor.OnDisk(o, fs.Crash(memfs.Durable))
		o.BootID = boot("second")
		s = openFile(t, o)
		if lives := s.Lives(); len(lives) != 2 || lives[0].Kept != 5 {
			t.Fatalf("lives are %+v, want the old one with 5 messages", lives)
		}
	})
}

// A slowDisk blocks writes of records until the test lets them continue.
type slowDisk struct {
	seglog.FS
	gate chan struct{} // nil: open
}

type slowFile struct {
	seglog.File
	d *slowDisk
}

func (d *slowDisk) OpenFile(name string, flag int) (seglog.File, error) {
	f, err := d.FS.OpenFile(name, flag)
	return slowFile{f, d}, err
}

func (f slowFile) WriteAt(b []byte, at int64) (int, error) {
	if f.d.gate != nil {
		<-f.d.gate
	}
	return f.File.WriteAt(b, at)
}

// TestFileHidesUnwrittenMessages checks that no cursor returns a message that a kill could still
// remove: its sequence would be given to another message (G1).
func TestFileHidesUnwrittenMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{FS: memfs.New()}
		s := openFile(t, testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncInterval: time.Hour}, disk))
		life := s.Lives()[0].ID
		publish(t, s, 1)
		disk.gate = make(chan struct{})
		// A message of this size is written at once and not staged.
		go s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: make([]byte, 2<<20)})
		synctest.Wait()
		if got := sequences(t, s, life); len(got) != 1 {
			t.Errorf("a cursor returns %v while 2 is being written", got)
		}
		if _, err := s.Get(life, 2); !errors.Is(err, pubstore.ErrNotFound) {
			t.Errorf("Get(2) while it is being written: %v", err)
		}
		<-s.Appended()
		close(disk.gate)
		<-s.Appended()
		if got := sequences(t, s, life); len(got) != 2 {
			t.Errorf("a cursor returns %v, want 1 and 2", got)
		}
	})
}

// TestFileTrims checks that a file is removed once all its messages are discarded.
func TestFileTrims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		s := openFile(t, testdoor.OnDisk(pubstore.FileOptions{SegmentBytes: 4096}, fs))
		life := s.Lives()[0].ID
		for n := uint64(1); n <= 2000; n++ {
			publish(t, s, 1)
			if n%20 == 0 {
				if err := s.Discard(life, n-10); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		if files := len(fs.Names()); files > 5 {
			t.Errorf("%d files for 10 messages outstanding: %v", files, fs.Names())
		}
	})
}

// TestFileCompacts checks that a few old messages do not keep all later files on the disk, and that
// they survive being copied.
func TestFileCompacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New()
		o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 2048}, fs)
		s := openFile(t, o)
		publish(t, s, 3)
		if err := s.Renew(); err != nil {
			t.Fatal(err)
		}
		life := s.Lives()[1].ID
		for n := uint64(1); n <= 200; n++ {
			publish(t, s, 1)
			if n%10 > 0 {
				if err := s.Reject(life, n); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		if files := len(fs.Names()); files > 10 {
			t.Errorf("%d files: %v", files, fs.Names())
		}
		closeStore(t, s)
		s = openFile(t, o)
		if l := s.Lives(); len(l) != 2 || l[0].Kept != 3 || l[1].Kept != 20 {
			t.Errorf("lives are %+v", l)
		}
	})
}

// segmentNames returns the names of a store's segments, oldest first.
func segmentNames(fs *memfs.FS) (names []string) {
	for _, name := range fs.Names() {
		if strings.HasSuffix(name, ".log") && !strings.Contains(name, "aside") {
			names = append(names, name)
		}
	}
	return names
}

// TestFileDamaged flips a bit in a durable record.
func TestFileDamaged(t *testing.T) {
	for _, position := range []string{"first", "middle", "last"} {
		t.Run(position, func(t *testing.T) {
			fs := memfs.New()
			o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 4096}, fs)
			s := openFile(t, o)
			life := s.Lives()[0].ID
			publish(t, s, 100)
			if err := s.Discard(life, 3); err != nil {
				t.Fatal(err)
			}
			if err := s.Reject(life, 50); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			names := segmentNames(fs)
			name := map[string]string{"first": names[0], "middle": names[len(names)/2], "last": names[len(names)-1]}[position]
			fs.Flip(name, 4160+90)

			var damaged *pubstore.DamagedError
			if _, err := pubstore.OpenFile(dir, o); !errors.As(err, &damaged) {
				t.Fatalf("opening a damaged store: %v", err)
			}
			o.AcceptDamage = true
			s = openFile(t, o)
			lives := s.Lives()
			if len(lives) != 2 || lives[0].ID != life {
				t.Fatalf("lives are %+v, want %s and a new one", lives, life)
			}
			kept := sequences(t, s, life)
			if len(kept)+s.GivenUp() != 96 || s.GivenUp() > 2 || lives[0].Kept != len(kept) {
				t.Fatalf("%d messages kept, %d given up of 96: %v", len(kept), s.GivenUp(), kept)
			}
			closeStore(t, s)
			o.AcceptDamage = false
			s = openFile(t, o)
			if again := sequences(t, s, life); len(again) != len(kept) {
				t.Fatalf("%d messages kept, %d when opened again", len(kept), len(again))
			}
		})
	}
}

// TestKilledProcess kills a process that appends to stores on a real disk.
func TestKilledProcess(t *testing.T) {
	if path := os.Getenv("PUBSTORE_TEST_CHILD"); path != "" {
		appendUntilKilled(path)
		return
	}
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			last := runAndKill(t, path)
			s, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer closeStore(t, s)
			lives := s.Lives()
			got := sequences(t, s, lives[len(lives)-1].ID)
			if len(lives) != 1 || len(got) < last || got[len(got)-1] != uint64(len(got)) {
				t.Fatalf("lives are %+v with %d messages, the process had printed %d", lives, len(got), last)
			}
		})
	}
}

var openers = map[string]func(path string) (pubstore.Store, error){
	"file": func(path string) (pubstore.Store, error) {
		return pubstore.OpenFile(path, pubstore.FileOptions{BootID: boot("first")})
	},
	"bolt": func(path string) (pubstore.Store, error) {
		return pubstore.OpenBolt(path, pubstore.BoltOptions{BootID: boot("first")})
	},
}

// appendUntilKilled appends until it is killed. It prints each number once Append has returned.
func appendUntilKilled(path string) {
	s, err := openers[filepath.Base(path)](path)
	for err == nil {
		var seq uint64
		if seq, err = s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: make([]byte, 100)}); err == nil {
			fmt.Printf("\nappended %d\n", seq)
		}
	}
	fmt.Println(err)
}

// runAndKill returns the last number that the child printed.
func runAndKill(t *testing.T, path string) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledProcess$")
	cmd.Env = append(os.Environ(), "PUBSTORE_TEST_CHILD="+path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "appended %d", &last); err == nil && last >= 50 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait() // it was killed
	if !killed {
		t.Fatalf("the process ended by itself after %d", last)
	}
	return last
}

func TestAllocations(t *testing.T) {
	file, err := pubstore.OpenFile(t.TempDir(), pubstore.FileOptions{SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	stores := map[string]pubstore.Store{"Memory": pubstore.NewMemory(pubstore.MemoryOptions{}), "File": file}
	for name, s := range stores {
		life := s.Lives()[0].ID
		c, err := s.Cursor(life, 0)
		if err != nil {
			t.Fatal(err)
		}
		m, got := pubstore.Message{Topic: "important_topic", Body: make([]byte, 256)}, pubstore.Message{}
		allocs := testing.AllocsPerRun(5000, func() {
			seq, err := s.Append(context.Background(), &m)
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := c.Next(&got); !ok || err != nil || got.Sequence != seq {
				t.Fatalf("Next = %v, %v, message %d, want %d", ok, err, got.Sequence, seq)
			}
			if seq%100 == 0 {
				s.Discard(life, seq)
			}
		})
		c.Close()
		closeStore(t, s)
		if allocs != 0 {
			t.Errorf("%s: %v allocations for an append and a read", name, allocs)
		}
	}
}

// The last message of an old life is rejected, and a new file begins whose head no longer names
// that life. The next process must be able to open the store.
func TestFileRejectEndsALife(t *testing.T) {
	for pad := range 700 {
		fs := memfs.New()
		o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SegmentBytes: 700}, fs)
		s := openFile(t, o)
		old := s.Lives()[0].ID
		_, err := s.Append(t.Context(), &pubstore.Message{Topic: "t"})
		if err == nil {
			err = s.Renew()
		}
		if err == nil {
			_, err = s.Append(t.Context(), &pubstore.Message{Topic: "t", Body: make([]byte, pad)})
		}
		if err == nil {
			err = s.Reject(old, 1)
		}
		if err != nil {
			t.Fatal(err)
		}
		o = testdoor.OnDisk(o, fs.Crash(memfs.KeepAll))
		again, err := pubstore.OpenFile(dir, o)
		if err != nil {
			t.Fatalf("behind a message of %d bytes: %v", pad, err)
		}
		if lives := again.Lives(); len(lives) != 1 || lives[0].Kept != 1 {
			t.Errorf("behind a message of %d bytes: %+v", pad, lives)
		}
		again.Close()
		s.Close()
	}
}

// A store without a committing goroutine syncs only when Sync is called.
func TestFileSync(t *testing.T) {
	fs := memfs.New()
	o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncInterval: -1}, fs)
	s := openFile(t, o)
	publish := func() {
		if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders"}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n int) {
		o := o
		o = testdoor.OnDisk(o, fs.Image(memfs.Durable))
		again := openFile(t, o)
		n = again.Usage().Messages
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	publish()
	publish()
	if n := kept(); n != 0 {
		t.Errorf("before Sync a power cut leaves %d messages", n)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	publish()
	if n := kept(); n != 2 {
		t.Errorf("after Sync a power cut leaves %d messages, want 2", n)
	}
	if err := s.Discard(s.Lives()[0].ID, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := kept(); n != 2 {
		t.Errorf("after Discard and Sync a power cut leaves %d messages, want 2", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); !errors.Is(err, pubstore.ErrClosed) {
		t.Errorf("Sync after Close: %v", err)
	}
}
