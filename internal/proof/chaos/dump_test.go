//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
)

// The dump, which shares no code with the journal, reads the journal's own records.
func TestDumpJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	writeJournal(t, dir, 1, 200)
	writeJournal(t, dir, 201, 300) // after a start, which rewrites the tail
	var want []string
	err := journals.Dump(seglog.OS, dir, func(r *journal.Record) error {
		want = append(want, fmt.Sprintf("%016x %d %d %d %s %d", r.Publisher, r.Sequence, r.Prev, r.Kind, r.Topic, len(r.Body)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := dumpLines(t, dir)
	if len(want) != 300 || !slices.Equal(got, want) {
		t.Errorf("read %d records, want %d", len(got), len(want))
	}
}

func writeJournal(t *testing.T, dir string, from, to uint64) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: dir, SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for n := from; n <= to; n++ {
		r := journal.Record{Kind: journal.Message, Publisher: 7 + n%3, Sequence: (n + 2) / 3, Prev: (n+2)/3 - 1,
			Topic: []byte("orders"), Body: bytes.Repeat([]byte("x"), int(n*7%300)), User: []byte("u")}
		if n%50 == 0 {
			r.Kind, r.Body, r.User, r.Reason = journal.Tombstone, nil, nil, []byte("no")
		}
		if v, err := j.Append(&r); v != journal.Accepted || err != nil {
			t.Fatalf("append %d: %v, %v", n, v, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func dumpLines(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := dumpJournal(dir, func(r record, body []byte) error {
		lines = append(lines, fmt.Sprintf("%016x %d %d %d %s %d", r.Publisher, r.Sequence, r.Prev, r.Kind, r.Topic, len(body)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Damage before the end is reported, not skipped.
func TestDumpJournalDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	writeJournal(t, dir, 1, 200)
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	b, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	b[6000] ^= 1
	if err := os.WriteFile(names[1], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := dumpJournal(dir, func(record, []byte) error { return nil }); err == nil {
		t.Error("damage was not noticed")
	}
}
