package wire_test

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// longVector returns a vector of n entries of the largest length.
func longVector(n int) string {
	var list []string
	for p := range uint64(n) {
		list = append(list, strconv.FormatUint(1<<63+p, 10)+"|"+strconv.FormatUint(1<<62+p, 10)+"|")
	}
	return strings.Join(list, ",")
}

// messages reads the frames of a writer, and returns the length of the longest one.
func messages(t *testing.T, w writer) (all []wire.Message, longest int) {
	t.Helper()
	for rest := w.AppendTo(nil); len(rest) > 0; {
		size := int(binary.BigEndian.Uint32(rest))
		longest = max(longest, size)
		all = append(all, *parse(t, rest[4:4+size]))
		rest = rest[4+size:]
	}
	return all, longest
}

// assemble assembles messages. The last one is the command or the ack itself.
func assemble(a *wire.Assembly, all []wire.Message, limit int) (m wire.Message, err error) {
	for i := range all[:len(all)-1] {
		a.Add(&all[i], limit)
	}
	m = all[len(all)-1]
	return m, a.Complete(&m)
}

// A text that is too long for one frame comes in parts. No part is longer than the frames that
// every server and client accepts. The assembled text is the original one.
func TestParts(t *testing.T) {
	long, gaps := longVector(3000), strings.ReplaceAll(longVector(2000), "|,", "|5,")+"5"
	for name, tt := range map[string]struct {
		w             writer
		bookmark, gap string
		frames        int
	}{
		"subscribe": {&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "7", SubID: "7", Topic: "t", Options: "vector", Acks: wire.AckProcessed,
			Bookmark: long, InParts: true}, long, "", 4},
		"short subscribe": {&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "7", SubID: "7", Topic: "t", Bookmark: longVector(2), InParts: true}, longVector(2), "", 1},
		"not in parts":    {&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "7", SubID: "7", Topic: "t", Bookmark: long}, long, "", 1},
		"base":            {&wire.AckMessage{CommandID: "7", Type: wire.AckProcessed, Success: true, SubID: "7", Bookmark: long}, long, "", 4},
		"gap":             {&wire.AckMessage{CommandID: "7", Type: wire.AckProcessed, Reason: wire.ReasonBookmarkNotFound, SubID: "7", Gap: gaps}, "", gaps, 3},
		"both":            {&wire.AckMessage{CommandID: "7", Type: wire.AckProcessed, Success: true, SubID: "7", Bookmark: long, Gap: gaps}, long, gaps, 6},
	} {
		t.Run(name, func(t *testing.T) {
			all, longest := messages(t, tt.w)
			if len(all) != tt.frames || tt.frames > 1 && longest > 2*wire.PartBytes {
				t.Errorf("%d frames, the longest of %d bytes, want %d frames", len(all), longest, tt.frames)
			}
			for i := range all[:len(all)-1] {
				if all[i].Part != uint64(i+1) || all[i].Parts != 0 || all[i].Topic != nil {
					t.Errorf("frame %d is not part %d: %+v", i, i+1, all[i].Part)
				}
			}
			var a wire.Assembly
			m, err := assemble(&a, all, 0)
			if err != nil || string(m.Bookmark) != tt.bookmark || string(m.Gap) != tt.gap {
				t.Errorf("%v; %d bytes of bookmark and %d of gap, want %d and %d", err, len(m.Bookmark), len(m.Gap), len(tt.bookmark), len(tt.gap))
			}
		})
	}
}

// A vector is refused if parts of it are missing, repeated, changed, or of another command. The
// next vector is not affected.
func TestPartsThatDoNotFit(t *testing.T) {
	command := func(id string, n int) []wire.Message {
		all, _ := messages(t, &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: "t", Bookmark: longVector(n), InParts: true})
		return all
	}
	one, other := command("1", 3500), command("2", 3500)
	changed := command("1", 3500)
	changed[1].Bookmark = []byte(strings.Replace(string(changed[1].Bookmark), "9", "8", 1))
	for name, all := range map[string][]wire.Message{
		"first missing":                one[1:],
		"middle missing":               {one[0], one[2], one[3], one[4]},
		"last missing":                 {one[0], one[1], one[2], one[4]},
		"all missing":                  one[4:],
		"twice":                        {one[0], one[1], one[1], one[2], one[3], one[4]},
		"out of order":                 {one[1], one[0], one[2], one[3], one[4]},
		"a part of another":            {one[0], other[1], one[2], one[3], one[4]},
		"another's end":                {one[0], one[1], one[2], one[3], other[4]},
		"changed":                      changed,
		"the start of another between": {one[0], one[1], other[0], one[2], one[3], one[4]},
	} {
		t.Run(name, func(t *testing.T) {
			var a wire.Assembly
			if _, err := assemble(&a, all, 0); !errors.Is(err, wire.ErrParts) {
				t.Errorf("assembled: %v", err)
			}
			if m, err := assemble(&a, other, 0); err != nil || string(m.Bookmark) != longVector(3500) {
				t.Errorf("next vector: %v", err)
			}
		})
	}
}

// The size of an assembled text is bounded before it takes memory.
func TestPartsAreBounded(t *testing.T) {
	all, _ := messages(t, &wire.AckMessage{CommandID: "1", Type: wire.AckProcessed, Success: true, Bookmark: longVector(3500)})
	var a wire.Assembly
	for i := range all[:len(all)-1] {
		if taken := a.Add(&all[i], 1000); taken != (i == 0) {
			t.Errorf("part %d: taken %v", i+1, taken)
		}
	}
	m := all[len(all)-1]
	if err := a.Complete(&m); !errors.Is(err, wire.ErrVectorTooLong) {
		t.Error(err)
	}
	if m, err := assemble(&a, all, 3500); err != nil || string(m.Bookmark) != longVector(3500) {
		t.Errorf("as many as allowed: %v", err)
	}
}
