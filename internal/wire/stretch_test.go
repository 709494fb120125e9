package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// recordOf returns a message as a record.
func recordOf(t testing.TB, sequence uint64, body string) []byte {
	t.Helper()
	raw, err := record.Append(nil, &record.Record{
		Kind: record.Message, Publisher: pubber, Sequence: sequence, Prev: sequence - 1, Topic: []byte("orders"),
		CorrelationID: []byte("x"), User: []byte("joe"), Body: []byte(body),
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// stretchOf returns the frame of a stretch with messages 1 to n for two subscriptions.
func stretchOf(t testing.TB, n uint64) []byte {
	t.Helper()
	var s wire.OpenStretch
	frame := s.Begin(nil, []byte("1,4"))
	for i := range n {
		frame = s.Add(frame, int64(100+i), recordOf(t, i+1, fmt.Sprint("body ", i+1)))
	}
	return frame
}

func TestStretch(t *testing.T) {
	m := parse(t, stretchOf(t, 3)[4:])
	if m.Command != wire.Stretch || string(m.SubIDs) != "1,4" {
		t.Fatalf("%v for %s", m.Command, m.SubIDs)
	}
	var e wire.Entry
	n := uint64(0)
	for rest := m.Body; ; n++ {
		after, more, err := wire.NextEntry(rest, &e)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		if e.Publisher != pubber || e.Sequence != n+1 || e.Time != int64(100+n) || string(e.Topic) != "orders" ||
			string(e.User) != "joe" || string(e.CorrelationID) != "x" || string(e.Body) != fmt.Sprint("body ", n+1) {
			t.Errorf("entry %d: %+v", n, e)
		}
		rest = after
	}
	if n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// A stretch stays open as long as the buffer ends with it, and is at most MaxStretch long.
func TestStretchIsBounded(t *testing.T) {
	var s wire.OpenStretch
	if s.Fits(nil, 0) {
		t.Error("a closed stretch has room")
	}
	raw := recordOf(t, 1, string(make([]byte, 1000)))
	head := []byte("bytes before")
	out := s.Begin(head, []byte("1"))
	for s.Fits(out, len(raw)) {
		out = s.Add(out, 0, raw)
	}
	if n := len(out) - len(head); n > wire.MaxStretch || n+len(raw)+12 <= wire.MaxStretch {
		t.Errorf("a stretch of %d bytes", n)
	}
	if got := int(binary.BigEndian.Uint32(out[len(head):])); got != len(out)-len(head)-4 {
		t.Errorf("its length is %d, want %d", got, len(out)-len(head)-4)
	}
	out = s.Begin(out, []byte("1"))
	if out = append(out, 1); s.Fits(out, len(raw)) {
		t.Error("a stretch is open before another frame")
	}
	ids := bytes.Repeat([]byte{1}, 1000) // each byte is escaped
	limit := 0
	for wire.FitsStretch(ids, limit+1) {
		limit++
	}
	if out = s.Begin(nil, ids); !s.Fits(out, limit) || len(s.Add(out, 0, make([]byte, limit))) > wire.MaxStretch {
		t.Errorf("a record of %d bytes does not fit", limit)
	}
}

func TestBadStretch(t *testing.T) {
	empty, err := record.Append(nil, &record.Record{Kind: record.Empty, Publisher: 1, Sequence: 1})
	if err != nil {
		t.Fatal(err)
	}
	whole := stretchOf(t, 1)
	var s wire.OpenStretch
	other := s.Add(s.Begin(nil, []byte("1")), 0, empty)
	short := s.Add(s.Begin(nil, []byte("1")), 0, []byte("x"))
	long := bytes.Clone(whole)
	body := len(parse(t, whole[4:]).Body)
	binary.LittleEndian.PutUint32(long[len(long)-body:], 1<<31)
	unknown := bytes.Clone(whole)
	unknown[len(unknown)-body+12] = 0x7f
	for name, frame := range map[string][]byte{
		"another kind": other, "too short": short, "length beyond the end": long, "unknown kind": unknown,
		"cut": whole[:len(whole)-1], "cut in the head": whole[:len(whole)-body+11], "cut in the length": whole[:len(whole)-body+3],
	} {
		var e wire.Entry
		if _, more, err := wire.NextEntry(parse(t, frame[4:]).Body, &e); more || !errors.Is(err, wire.ErrStretch) {
			t.Errorf("%s: %v, %v", name, more, err)
		}
	}
}

// FuzzStretch reads a body as the body of a stretch and of a batch. The records are the same
// after they were written and read again. A claimed length takes no memory.
func FuzzStretch(f *testing.F) {
	f.Add(parse(f, stretchOf(f, 3)[4:]).Body)
	f.Add(record.AppendFramed(record.AppendFramed(nil, recordOf(f, 1, "a")), recordOf(f, 2, "")))
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var e wire.Entry
		heap.Bounded(t, len(body), 1, 4<<10, func() {
			for rest, more, err := body, true, error(nil); more && err == nil; {
				rest, more, err = wire.NextEntry(rest, &e)
			}
			for rest, more, err := body, true, error(nil); more && err == nil; {
				var m wire.Message
				rest, more, err = m.NextPublish(rest, &e)
			}
		})
		var s wire.OpenStretch
		again := s.Begin(nil, nil)
		head := len(again)
		rest, more, err := body, true, error(nil)
		for {
			if rest, more, err = wire.NextEntry(rest, &e); !more || err != nil {
				break
			}
			again = s.Add(again, e.Time, e.Raw)
		}
		if n := len(again) - head; !bytes.HasPrefix(body, again[head:]) || err == nil && n != len(body) {
			t.Errorf("%x is read as %x, %v", body, again[head:], err)
		}
	})
}
