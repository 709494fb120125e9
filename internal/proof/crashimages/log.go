package crashimages

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Seglog is the segmented log by itself.
var Seglog = Subject{"seglog", func(seed uint64) Model { return &logModel{seed: seed, rand: newRand(seed)} }}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// An owner is a log's owner that counts the records.
type owner struct{ count int }

func (o *owner) Head() []byte    { return fmt.Appendf(nil, "head %d", o.count) }
func (o *owner) Summary() []byte { return fmt.Appendf(nil, "summary %d", o.count) }
func (o *owner) RecoverHead(p []byte) error {
	_, err := fmt.Sscanf(string(p), "head %d", &o.count)
	return err
}
func (o *owner) Recover(seglog.Record) error { o.count++; return nil }

// A logModel is a log and its promises. Each record has its number in its text.
type logModel struct {
	seed      uint64
	rand      *rand.Rand
	o         owner
	l         *seglog.Log
	ends      []seglog.Position // after each record appended
	written   int               // number of records that survive a kill
	synced    int               // number of records that survive a power cut
	trimmed   seglog.Position   // Trim was asked to go so far
	begin     seglog.Position   // the log began there when Trim or Open returned
	powerLost bool              // power was lost since the last check
}

func (h *logModel) Clone(seed uint64) Model {
	c := *h
	c.l, c.rand = nil, newRand(seed)
	c.ends = slices.Clone(h.ends)
	return &c
}

func (h *logModel) Open(disk *memfs.FS, killed bool) (err error) {
	h.powerLost, h.o = h.powerLost || !killed, owner{}
	h.l, err = seglog.Open(seglog.Options{FS: disk, Dir: "log", Owner: &h.o, SegmentBytes: 400, TailBytes: 1})
	return err
}

func logText(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", i*37%90)) }

func (h *logModel) Use(steps int) error {
	for range steps {
		if err := h.step(h.rand.IntN(10)); err != nil {
			return err
		}
	}
	return nil
}

func (h *logModel) step(action int) error {
	n := len(h.ends)
	switch {
	case action < 5:
		return h.append()
	case action < 6:
		err := h.l.Write()
		if err == nil {
			h.written = n
		}
		return err
	case action < 8:
		_, err := h.l.Sync()
		if err == nil {
			h.written, h.synced = n, n
		}
		return err
	case action < 9:
		return h.l.Note()
	case h.synced < 6:
		return nil
	}
	h.trimmed = max(h.trimmed, h.ends[h.synced-6])
	err := h.l.Trim(h.trimmed)
	if err == nil {
		h.begin = h.l.First()
	}
	return err
}

func (h *logModel) append() error {
	t := logText(len(h.ends))
	if h.rand.IntN(20) == 0 {
		t += strings.Repeat("y", 500) // more than a segment
	}
	p, err := h.add(t)
	if err != nil {
		return err
	}
	if n := len(h.ends); n > 0 && p < h.ends[n-1] {
		return Violatef("record %d is at %d but the one before ends at %d", n, p, h.ends[n-1])
	}
	h.ends = append(h.ends, p+seglog.Position(16+len(t)+7)&^7)
	h.o.count++
	return nil
}

// add appends a text, every other one with the sum of all but its first byte.
func (h *logModel) add(t string) (seglog.Position, error) {
	head, rest := []byte(t[:1]), []byte(t[1:])
	if len(h.ends)%2 == 0 {
		return h.l.Append(0x10, head, rest)
	}
	return h.l.AppendSummed(0x10, len(head), crc.Bytes(0, rest), head, rest)
}

func (h *logModel) Close() error {
	n := len(h.ends)
	err := h.l.Close()
	if err == nil {
		h.written, h.synced = n, n
	}
	return err
}

func (h *logModel) Kill() {
	if h.l != nil {
		h.l.Abandon()
	}
}

// CheckFailed implements Model. Only a Remove that failed is forgiven.
func (h *logModel) CheckFailed() error {
	if h.l == nil || h.l.Err() == nil {
		return nil
	}
	first := h.l.Err()
	_, appendErr := h.l.Append(0x10, []byte("more"))
	_, syncErr := h.l.Sync()
	for i, err := range []error{appendErr, h.l.Write(), syncErr, h.l.Note(), h.l.Trim(0)} {
		if !errors.Is(err, first) {
			return Violatef("call %d after the disk failed with %v: %v", i, first, err)
		}
	}
	return nil
}

// Check implements Model.
func (h *logModel) Check() error {
	least := h.written
	if h.powerLost {
		least = h.synced
	}
	h.powerLost = false
	if h.l.Durable() != h.l.End() {
		return Violatef("durable up to %d, end %d after Open", h.l.Durable(), h.l.End())
	}
	if h.o.count < least || h.o.count > len(h.ends) {
		return Violatef("the owner knows %d records, want %d to %d", h.o.count, least, len(h.ends))
	}
	next, err := h.firstKept()
	if err != nil {
		return err
	}
	if next, err = h.read(next); err != nil {
		return err
	}
	if next != h.o.count {
		return Violatef("the log holds %d records but its owner knows %d", next, h.o.count)
	}
	h.ends = h.ends[:next]
	h.written, h.synced = next, next
	return h.checkSegments()
}

// read checks every record from the nth on and returns the number after the last.
func (h *logModel) read(n int) (int, error) {
	c := h.l.Cursor(0)
	defer c.Close()
	for ; ; n++ {
		r, err := c.Next()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case n >= len(h.ends) || !strings.HasPrefix(string(r.Payload), logText(n)):
			return n, Violatef("record %d reads %.20q", n, r.Payload)
		case r.Next != h.ends[n]:
			return n, Violatef("record %d ends at %d, want %d", n, r.Next, h.ends[n])
		}
	}
}

// firstKept returns the number of the first record, which must not be one that
// Trim had to leave, nor one that it has removed.
func (h *logModel) firstKept() (int, error) {
	first := h.l.First()
	if first > h.trimmed || first < h.begin {
		return 0, Violatef("the log begins at %d, want %[3]d to %[2]d", first, h.trimmed, h.begin)
	}
	h.begin = first
	return h.recordsBefore(first), nil
}

// recordsBefore returns how many records end at or before p.
func (h *logModel) recordsBefore(p seglog.Position) int {
	n, _ := slices.BinarySearch(h.ends, p+1)
	return n
}

// checkSegments compares heads and summaries with the records before them.
func (h *logModel) checkSegments() error {
	segs := h.l.Segments()
	for i, s := range segs {
		head, err := h.l.Head(s.First)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("head %d", h.recordsBefore(s.First)); string(head) != want {
			return Violatef("head of segment %d at %d: %q, want %q", i, s.First, head, want)
		}
		want := fmt.Sprintf("summary %d", h.recordsBefore(s.End))
		if i == len(segs)-1 {
			want = ""
		} else if s.End != segs[i+1].First {
			return Violatef("segment %d ends at %d but the next one begins at %d", i, s.End, segs[i+1].First)
		}
		if string(s.Summary) != want {
			return Violatef("summary of segment %d of %d: %q, want %q", i, len(segs), s.Summary, want)
		}
	}
	return nil
}
