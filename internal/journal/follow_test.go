package journal_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func TestFollowLimits(t *testing.T) {
	disk := newGatedFS(memfs.New())
	j := openForTest(t, disk)
	fill(t, j, 1, 1, 3)
	mustSync(t, j)
	durable, appended := j.Follow(j.First(), journal.Durable), j.Follow(j.First(), journal.Appended)
	defer durable.Close()
	defer appended.Close()

	disk.shut()
	fill(t, j, 1, 4, 5)
	if got := readAvailable(t, durable); len(got) != 3 {
		t.Errorf("durable: %q", got)
	}
	if got := readAvailable(t, appended); len(got) != 5 {
		t.Errorf("appended: %q", got)
	}
	disk.open()
	mustSync(t, j)
	if got := readAvailable(t, durable); len(got) != 2 {
		t.Errorf("durable, after the sync: %q", got)
	}
	if got := readAvailable(t, appended); len(got) != 0 {
		t.Errorf("appended, after the sync: %q", got)
	}
}

func TestFollowSkipsStateRecords(t *testing.T) {
	j := openForTest(t, memfs.New())
	fill(t, j, 1, 1, 1)
	if err := j.NoteDegraded(journal.DegradedInterval{Destination: "b", Begin: time.UnixMicro(1)}); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 1, 2, 2)
	f := j.Follow(j.First(), journal.Appended)
	defer f.Close()
	if got := readAvailable(t, f); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

func TestFollowFromPosition(t *testing.T) {
	j := openForTest(t, memfs.New())
	var at []journal.Position
	for range 100 {
		r := message(1, 0, "b")
		mustAppend(t, j, r, journal.Accepted)
		at = append(at, journal.Position(r.Position))
	}
	for i, p := range at {
		f := j.Follow(p, journal.Appended)
		var r journal.Record
		if ok, err := f.Next(&r); !ok || err != nil || r.Sequence != uint64(i+1) || journal.Position(r.Position) != p {
			t.Errorf("from %v: %v, %v, %+v", p, ok, err, r)
		}
		if f.Position() != journal.Position(r.Next) {
			t.Errorf("the follower is at %v, the next record at %v", f.Position(), r.Next)
		}
		f.Close()
	}
}

// A follower reads while other goroutines append and trim. It reads in order, and reports
// records that were removed before it read them.
func TestFollowWhileTrimming(t *testing.T) {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	j := openForTest(t, memfs.New(), func(o *journal.Options) {
		o.OnAppend = func(uint64, uint64) { poke() }
		o.OnDurable = func([]journal.Advance, bool) { poke() }
	})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			mustAppend(t, j, message(1, 0, "body"), journal.Accepted)
			if i%50 == 0 {
				if _, err := j.Trim(journal.Retention{Bytes: 12 << 10}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	defer func() { close(stop); <-done }()
	trimmed, seen := 0, uint64(0)
	for seen < 5000 {
		limit := journal.Limit(trimmed % 2)
		f := j.Follow(j.First(), limit)
		last := uint64(0)
		var r journal.Record
		for seen < 5000 {
			ok, err := f.Next(&r)
			if errors.Is(err, journal.ErrTrimmed) {
				trimmed++
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				<-changed
				continue
			}
			if last != 0 && r.Sequence != last+1 {
				t.Fatalf("%d follows %d", r.Sequence, last)
			}
			last = r.Sequence
			seen++
		}
		f.Close()
	}
}

func TestFollowTrimmed(t *testing.T) {
	j := openForTest(t, memfs.New())
	for range 300 { // more than a cursor reads at once
		mustAppend(t, j, message(1, 0, strings.Repeat("x", 1000)), journal.Accepted)
	}
	mustSync(t, j)
	slow, atEnd := j.Follow(j.First(), journal.Durable), j.Follow(j.End(), journal.Durable)
	defer slow.Close()
	defer atEnd.Close()
	var r journal.Record
	if ok, err := slow.Next(&r); !ok || err != nil || r.Sequence != 1 {
		t.Fatal(ok, err)
	}
	first := journal.Position(r.Position)
	if at, err := j.SeekVector(nil); err != nil || at != first || j.First() != first {
		t.Errorf("the first record is at %v; First %v, SeekVector %v, %v", first, j.First(), at, err)
	}
	if n, err := j.Trim(journal.Retention{Bytes: 1}); err != nil || n < 3 {
		t.Fatal(n, err)
	}
	last := uint64(1)
	for {
		ok, err := slow.Next(&r)
		if errors.Is(err, journal.ErrTrimmed) {
			break
		}
		if err != nil || !ok || r.Sequence != last+1 {
			t.Fatalf("%v, %v: %d follows %d", ok, err, r.Sequence, last)
		}
		last = r.Sequence
	}
	f := j.Follow(first, journal.Durable)
	defer f.Close()
	if _, err := f.Next(&r); !errors.Is(err, journal.ErrTrimmed) {
		t.Errorf("from a removed position: %v", err)
	}
	oldest := j.Follow(0, journal.Durable)
	defer oldest.Close()
	if ok, err := oldest.Next(&r); !ok || err != nil || journal.Position(r.Position) < j.First() {
		t.Errorf("the oldest: %v, %v, %v", ok, err, r.Position)
	}
	fill(t, j, 1, 301, 302)
	mustSync(t, j)
	if got := readAvailable(t, atEnd); !slices.Equal(got, []string{"message 1|301<300 t 1|301", "message 1|302<301 t 1|302"}) {
		t.Errorf("%q", got)
	}
}
