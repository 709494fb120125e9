package bookmarkstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

const victimEnv = "HOLDFAST_TEST_VICTIM"

// victim receives messages and discards all but every third one, until it is killed. It prints the
// sequence up to which the discards are durable.
func victim(path string) {
	b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	if err != nil {
		panic(err)
	}
	s, err := b.OpenSubscription("s", orders)
	if err != nil {
		panic(err)
	}
	for n := uint64(1); ; n++ {
		mark := bookmarkstore.Bookmark{Publisher: 1, Sequence: n}
		s.Receive(mark)
		if n%3 != 0 {
			if err := s.Discard(mark); err != nil {
				panic(err)
			}
		}
		if n%100 == 0 {
			if err := b.Sync(context.Background()); err != nil {
				panic(err)
			}
			fmt.Println(n)
		}
	}
}

// After a kill the synced discards are there, no undiscarded message is skipped, and the next
// process opens the database at once.
func TestKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marks.db")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var synced uint64
	lines := bufio.NewScanner(out)
	for range 20 {
		if !lines.Scan() {
			t.Fatalf("the process ended by itself: %v", cmd.Wait())
		}
		synced, _ = strconv.ParseUint(lines.Text(), 10, 64)
	}
	cmd.Process.Kill()
	for lines.Scan() {
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			synced = n
		}
	}
	cmd.Wait()
	if synced < 2000 {
		t.Fatalf("synced up to %d, want 2000 and more", synced)
	}

	b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := b.OpenSubscription("s", orders)
	if err != nil {
		t.Fatal(err)
	}
	if v, known := s.Discarded(); !known || v[1] != 2 {
		t.Errorf("Discarded() = %v, %v, want 2, true", v, known)
	}
	for n := uint64(3); n <= synced+1000; n++ {
		fresh := s.Receive(bookmarkstore.Bookmark{Publisher: 1, Sequence: n})
		if n%3 == 0 && !fresh {
			t.Fatalf("%d was not discarded and is dropped", n)
		}
		if n%3 != 0 && n <= synced && fresh {
			t.Fatalf("%d was discarded durably and is delivered again", n)
		}
	}
}
