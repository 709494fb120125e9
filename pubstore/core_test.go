package pubstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/intern"
)

// TestRangeSet compares a rangeSet with a plain set.
func TestRangeSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s rangeSet
		model := map[uint64]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			n := rapid.Uint64Range(1, 40).Draw(t, "n")
			if rapid.IntRange(0, 5).Draw(t, "what") == 0 {
				s.dropThrough(n)
				for k := range model {
					if k <= n {
						delete(model, k)
					}
				}
			} else if s.add(n) == model[n] {
				t.Fatalf("add(%d) is new: %v, twin %v", n, !model[n], model)
			} else {
				model[n] = true
			}
			checkRangeSet(t, s, model)
		}
	})
}

func checkRangeSet(t *rapid.T, s rangeSet, model map[uint64]bool) {
	count := uint64(0)
	for n := uint64(0); n <= 41; n++ {
		if _, in := s.search(n); in != model[n] {
			t.Fatalf("%v contains %d: %v", s, n, in)
		}
		if model[n] {
			count++
		}
		if got := s.count(n); got != count {
			t.Fatalf("%v counts %d up to %d, want %d", s, got, n, count)
		}
	}
	for i := range s {
		if s[i].From > s[i].To || i > 0 && s[i-1].To+1 >= s[i].From {
			t.Fatalf("ranges in %v are not sorted or touch each other", s)
		}
	}
}

// TestSlots fills and drains a queue over several chunks.
func TestSlots(t *testing.T) {
	q := slots{first: 1}
	var next uint64 = 1
	for round := range 20 {
		for range 700 {
			q.push(next*10, uint32(next), int64(next)*1000)
			next++
		}
		for range 650 + round {
			seq := q.first
			if s := q.pop(); s.pos != seq*10 || s.size != uint32(seq) {
				t.Fatalf("slot of %d is %+v", seq, s)
			}
		}
		for seq := q.first; seq < next; seq += 13 {
			if s := q.at(seq); s.pos != seq*10 || q.time(seq) != int64(seq)*1000 {
				t.Fatalf("slot of %d is %+v, time %d", seq, *s, q.time(seq))
			}
		}
		if q.first+uint64(q.n) != next {
			t.Fatalf("%d slots from %d, want up to %d", q.n, q.first, next)
		}
	}
}

func TestSlotTimes(t *testing.T) {
	q := slots{first: 1}
	times := []int64{1_000_000, 1_000_500, 999_000, 1_000_000 + 1<<40, 1_000_000}
	for _, ms := range times {
		q.push(0, 0, ms)
	}
	want := []int64{1_000_000, 1_000_500, 1_000_000, 1_000_000 + 1<<32 - 1, 1_000_000}
	for i := range times {
		if got := q.time(uint64(i + 1)); got != want[i] {
			t.Errorf("time %d comes back as %d, want %d", times[i], got, want[i])
		}
	}
}

func TestPrev(t *testing.T) {
	for _, tt := range []struct {
		name            string
		acked           uint64
		rejected        []uint64
		seq, prev, next uint64 // next: the first kept one above seq, of 20
	}{
		{"the first", 0, nil, 1, 0, 2},
		{"nothing rejected", 0, nil, 7, 6, 8},
		{"one rejected", 0, []uint64{6}, 7, 5, 8},
		{"a run", 0, []uint64{5, 6, 4}, 7, 3, 8},
		{"a run from the start", 0, []uint64{1, 2}, 3, 0, 4},
		{"a run down to acked", 4, []uint64{5, 6}, 7, 4, 8},
		{"rejected below acked", 6, []uint64{6, 7}, 8, 6, 9},
		{"two runs", 0, []uint64{2, 3, 6}, 7, 5, 8},
		{"the next is rejected", 0, []uint64{8, 9}, 7, 6, 10},
		{"none is left", 0, []uint64{20, 19}, 18, 17, 0},
		{"the last", 0, nil, 20, 19, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLifeState("life")
			for range 20 {
				l.append(0, 1, 0)
			}
			for _, n := range tt.rejected {
				if !l.reject(n, func(slot) {}) {
					t.Fatalf("%d was not kept", n)
				}
			}
			l.discard(tt.acked, func(slot) {})
			if got := l.prev(tt.seq); got != tt.prev {
				t.Errorf("prev(%d) = %d, want %d", tt.seq, got, tt.prev)
			}
			if got := l.next(tt.seq); got != tt.next {
				t.Errorf("next(%d) = %d, want %d", tt.seq, got, tt.next)
			}
		})
	}
}

// TestRecordOpen checks the cases in which a store begins a new life (R10).
func TestRecordOpen(t *testing.T) {
	for _, tt := range []struct {
		name          string
		empty, closed bool
		was, is       string // boot ids
		renewed       bool
	}{
		{"a new store", true, false, "", "b1", true},
		{"killed, same boot", false, false, "b1", "b1", false},
		{"closed, same boot", false, true, "b1", "b1", false},
		{"killed, booted", false, false, "b1", "b2", true},
		{"closed, booted", false, true, "b1", "b2", false},
		{"killed, boot unknown", false, false, "b1", "", true},
		{"killed, never known", false, false, "", "", true},
		{"killed, known now", false, false, "", "b1", true},
		{"closed, boot unknown", false, true, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := storeState{boot: tt.was, closed: tt.closed}
			if !tt.empty {
				s.beginLife("old")
			}
			s.recordOpen(tt.is, "new")
			if got := s.current().id == "new"; got != tt.renewed {
				t.Errorf("new life: %v, want %v", got, tt.renewed)
			}
			if s.closed || s.boot != tt.is {
				t.Errorf("the state has closed %v, boot %q", s.closed, s.boot)
			}
		})
	}
}

func exampleState() *storeState {
	s := &storeState{name: "gateway", counter: 7, boot: "b1", closed: true, group: serverGroup{"c1", 2}}
	s.beginLife("older")
	s.current().append(0, 10, 0)
	s.beginLife("newer")
	l := s.current()
	for range 300 {
		l.append(0, 10, 0)
	}
	l.plainOffset, l.plainOffsetAfter, l.clock, l.sent = 1<<50, 4, 9, 257
	l.discard(5, func(slot) {})
	for _, n := range []uint64{7, 8, 20, 300} {
		l.reject(n, func(slot) {})
	}
	return s
}

// These are encodings of version 1. Every later version must be able to read them.
const (
	goldenState = "9801a767617465776179" + "07a26231c3" + "92" + "98a56f6c646572000001" + "90" + "000000" +
		"98a56e65776572cf000400000000000005cd012c" + "96" + "0708" + "1414" + "cd012ccd012c" + "09cd0101" + "04" + "a26331" + "02"
	goldenRecord = "1939e20100000000" + "1000" + "1800" + "0c941029" + "0200000000000000" + "0300000000000000" + "0f" + "0600" + "6f7264657273" +
		"0100" + "78" + "0200" + "6b39" + "58000000" + "626f6479"
)

func TestGoldenState(t *testing.T) {
	s := exampleState()
	if got := hex.EncodeToString(s.encode()); got != goldenState {
		t.Errorf("state is\n%s, want\n%s", got, goldenState)
	}
	golden, _ := hex.DecodeString(goldenState)
	var got storeState
	if err := got.decode(golden); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, &got, s)
}

func checkGolden(t *testing.T, got, s *storeState) {
	t.Helper()
	l, want := got.current(), s.current()
	if got.name != s.name || got.counter != 7 || got.boot != "b1" || !got.closed || got.group != s.group || len(got.lives) != 2 ||
		l.id != "newer" || l.publisher != PublisherOf("newer") || l.plainOffset != 1<<50 || l.clock != 9 || l.sent != 257 || l.plainOffsetAfter != 4 || l.acked != 5 || l.last != 300 || !slices.Equal(l.rejected, want.rejected) {
		t.Errorf("state reads as %+v, current life %+v", got, l)
	}
}

// A negative version counts as damage, not as a later version.
func TestNegativeVersion(t *testing.T) {
	for _, version := range []string{"e4", "d0e4", "d1ffe4", "d3ffffffffffffffe4"} {
		state, _ := hex.DecodeString(goldenState[:2] + version + goldenState[4:])
		if err := new(storeState).decode(state); !errors.Is(err, errState) {
			t.Errorf("version %s: %v", version, err)
		}
	}
}

func goldenMessage() *Message {
	return &Message{
		Publisher: 2, Sequence: 3, Topic: "orders", Body: []byte("body"), Delta: true, SOWKey: "k9", CorrelationID: "x",
		Expiration: 88 * time.Second, Time: time.UnixMicro(31602969),
	}
}

func encoded(t testing.TB, m *Message) []byte {
	t.Helper()
	rec, err := new(encoder).append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return append(rec, m.Body...)
}

func TestGoldenRecord(t *testing.T) {
	m := goldenMessage()
	rec := encoded(t, m)
	golden, _ := hex.DecodeString(goldenRecord)
	if !bytes.Equal(rec, golden) {
		t.Errorf("record is\n%x, want\n%x", rec, golden)
	}
	var got Message
	if err := decodeRecord(golden, &got, new(intern.Table)); err != nil {
		t.Fatal(err)
	}
	if got.Topic != m.Topic || got.Expiration != m.Expiration || !got.Time.Equal(m.Time) || !got.Delta ||
		got.SOWKey != "k9" || got.CorrelationID != "x" || string(got.Body) != "body" {
		t.Errorf("record reads as %+v", got)
	}
}

func FuzzState(f *testing.F) {
	f.Add(exampleState().encode())
	f.Add([]byte{0x97, 1, 0xdb, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		var s storeState
		if err := s.decode(p); err != nil {
			if _, newer := errors.AsType[*fileversion.VersionError](err); !newer && !errors.Is(err, errState) {
				t.Errorf("error %v", err)
			}
			return
		}
		if len(s.lives) == 0 {
			return
		}
		var again storeState
		if err := again.decode(s.encode()); err != nil {
			t.Errorf("state %x decodes, but its encoding does not: %v", p, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	m := goldenMessage()
	f.Add(encoded(f, m))
	f.Fuzz(func(t *testing.T, p []byte) {
		var m Message
		if err := decodeRecord(p, &m, new(intern.Table)); err != nil {
			return
		}
		if life, seq, err := recordIdentity(p); err != nil || seq != m.Sequence || m.Size() > len(p) {
			t.Errorf("record of life %d, %d, %v", life, seq, err)
		}
	})
}
