package journal

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// The count of records after a position is exact to the records between two marks, and 0 only at
// the end. The number of marks is bounded however long the log gets.
func TestTally(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var y tally
	var starts []Position
	at, now := Position(100), int64(1e15)
	for range 300_000 {
		size := Position(1 + random.IntN(8<<10))
		starts = append(starts, at)
		y.note(at, at+size, now)
		at, now = at+size, now+int64(random.IntN(1000))
	}
	if len(y.marks) > maxTallyMarks || len(y.marks) < maxTallyMarks/4 {
		t.Fatalf("%d marks", len(y.marks))
	}
	if l := y.after(at); l != (Lag{}) {
		t.Errorf("at the end: %+v", l)
	}
	if l := y.after(0); l.Records != 300_000 || l.Bytes != uint64(at) {
		t.Errorf("before the beginning: %+v", l)
	}
	between := uint64(0)
	for i := 1; i < len(y.marks); i++ {
		between = max(between, y.marks[i].records-y.marks[i-1].records)
	}
	for i, s := range starts {
		l, want := y.after(s), uint64(len(starts)-i)
		if l.Records > want+between || l.Records+between < want || l.Records == 0 || l.Bytes != uint64(at-s) || l.Since.IsZero() {
			t.Fatalf("after record %d: %+v, want %d records to %d", i, l, want, between)
		}
	}
}

// Records before the segment in which a process begins are estimated from the numbers of the
// publishers.
func TestLagAfterRestart(t *testing.T) {
	disk := memfs.New()
	open := func() *Journal {
		j, err := Open(Options{FS: disk, Dir: "j", SegmentBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := open()
	const messages = 40_000
	for n := range uint64(messages) {
		r := &Record{Kind: Message, Publisher: n%7 + 1, Topic: []byte("orders"), Body: []byte(fmt.Sprint(n))}
		if _, err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if l := j.Lag(j.First()); l.Records != messages || l.Since.IsZero() {
		t.Errorf("before the restart: %+v", l)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open()
	defer j.Close()
	if l := j.Lag(j.First()); l.Records != messages || !l.Since.IsZero() {
		t.Errorf("after the restart: %+v", l)
	}
	half := j.Lag(j.First() + (j.End()-j.First())/2)
	if half.Records < messages*45/100 || half.Records > messages*55/100 {
		t.Errorf("from the middle on: %+v", half)
	}
	lags := j.Lags()
	if l := j.Lag(j.End()); l != (Lag{}) || lags(j.End()) != l || lags(j.First()) != j.Lag(j.First()) {
		t.Errorf("at the end: %+v", l)
	}
	end := j.End()
	if _, err := j.Append(&Record{Kind: Message, Publisher: 1, Topic: []byte("orders")}); err != nil {
		t.Fatal(err)
	}
	if n := j.Lag(end).Records; n < 1 || n > 2 || lags(end).Records != 0 {
		t.Errorf("after one more: %+v, %+v", j.Lag(end), lags(end))
	}
}
