package replica

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// someFrames returns one frame of each type.
func someFrames() map[string][]byte {
	frames := make(map[string][]byte)
	add := func(name string, encode func(e *encoder)) {
		e := newEncoder()
		encode(e)
		frames[name] = bytes.Clone(e.finish())
	}
	hello := &Hello{Name: "a", Run: 1 << 63, Group: "pair", Digest: "d", Outbound: true, Topics: []string{"^x$", "y"}, Cluster: journal.ClusterID{1, 15: 2}, Intact: true}
	all := &Hello{Name: "b", Sync: true, Damaged: true, Empty: true, Compares: 1 << 31, Closing: journal.Closing{Clock: 9, Forgotten: 8}}
	add("hello", hello.encode)
	add("hello-all-topics", all.encode)
	add("states", func(e *encoder) {
		encodeStates(e, []journal.State{{Publisher: 1 << 60, Check: bookmark.Check{1, 15: 2}, Have: 300, Durable: 200, Floor: 100, RunningCRC: 1 << 31, Diverged: 250}, {Publisher: 2, Closing: true}}, true)
	})
	add("records", func(e *encoder) {
		e.begin(frameRecords)
		e.record([]byte("one record"))
		e.record(bytes.Repeat([]byte("another"), 100))
	})
	add("ack", func(e *encoder) { encodeAck(e, []bookmark.Bookmark{bm(1, 2), bm(1<<64-1, 1<<40)}) })
	add("closing", func(e *encoder) { encodeVector(e, frameClosing, []bookmark.Bookmark{bm(1, 2)}) })
	add("notice", func(e *encoder) {
		encodeNotice(e, 7, &Notice{ClientName: "c", User: "u", Publisher: 9, Check: bookmark.Check{9}, Counter: 3, Instance: "a"})
	})
	add("answer", func(e *encoder) {
		(&answer{7, 99, ledger.Reply{Refused: true, Lost: true}, true, false, journal.Closing{Clock: 5, Forgotten: 4}}).encode(e)
	})
	add("heartbeat", (&beat{more: true, moved: []journal.State{{Publisher: 5, Have: 6, RunningCRC: 7}}, closing: journal.Closing{Clock: 1 << 40}, wall: 1 << 50}).encode)
	add("refuse", (&RefusedError{Code: refuseRecord, Reason: "a hole"}).encode)
	decree := journal.Decree{Incarnation: 2, ID: 1 << 63, Members: []string{"c"}, Lost: []string{"a", "b"}, Time: time.UnixMicro(9), Stood: time.Hour, Ended: true}
	add("decree", (&decreeMessage{number: 7, what: decreeTake, decree: decree}).encode)
	add("decree-answer", (&decreeMessage{number: 7, what: decreeAnswer, problem: "no"}).encode)
	add("hello-decree", (&Hello{Name: "c", Outbound: true, Decree: decree, Empty: true}).encode)
	add("stopping", drained.encode)
	add("open", func(e *encoder) { encodeOpen(e, nonce{1, 2, 3}) })
	add("diverged", func(e *encoder) { encodeDiverged(e, []bookmark.Bookmark{bm(1, 2), bm(1<<64-1, 1<<40)}) })
	add("proof", func(e *encoder) { encodeProof(e, bytes.Repeat([]byte{9}, macBytes)) })
	return frames
}

// decode returns a decoder behind the type of the payload.
func decode(payload []byte) (frameType, *decoder) {
	d := newDecoder()
	return d.begin(payload), d
}

// reencode decodes a payload and encodes what it says again.
func reencode(payload []byte) ([]byte, error) {
	t, d := decode(payload)
	e := newEncoder()
	switch t {
	case frameHello:
		var h Hello
		if err := h.decode(d); err != nil {
			return nil, err
		}
		h.encode(e)
	case frameDecree:
		var m decreeMessage
		if err := m.decode(d); err != nil {
			return nil, err
		}
		m.encode(e)
	case frameStates:
		states, last, err := decodeStates(d, nil)
		if err != nil {
			return nil, err
		}
		encodeStates(e, states, last)
	case frameRecords:
		e.begin(frameRecords)
		raws, err := cutAll(d)
		if err != nil {
			return nil, err
		}
		for _, raw := range raws {
			e.record(raw)
		}
	case frameAck, frameClosing, frameDiverged:
		moved, err := decodeAck(d, nil)
		if err != nil {
			return nil, err
		}
		encodeVector(e, frameType(payload[0]), moved)
	case frameNotice:
		id, n, err := decodeNotice(d)
		if err != nil {
			return nil, err
		}
		encodeNotice(e, id, &n)
	case frameAnswer:
		var a answer
		err := a.decode(d)
		if err != nil {
			return nil, err
		}
		a.encode(e)
	case frameHeartbeat:
		var b beat
		if err := b.decode(d); err != nil {
			return nil, err
		}
		b.encode(e)
	case frameStopping:
		phase, err := decodeStopping(d)
		if err != nil {
			return nil, err
		}
		phase.encode(e)
	case frameOpen:
		version, theirs, err := decodeOpen(d)
		if err != nil || version != protocolVersion {
			return nil, errors.Join(err, errFrame)
		}
		encodeOpen(e, theirs)
	case frameProof:
		proof, err := decodeProof(d)
		if err != nil {
			return nil, err
		}
		encodeProof(e, proof)
	case frameRefuse:
		r, err := decodeRefuse(d)
		if err != nil {
			return nil, err
		}
		r.encode(e)
	default:
		return nil, errFrame
	}
	return e.finish()[frameHeader:], nil
}

func TestFramesRoundTrip(t *testing.T) {
	for name, frame := range someFrames() {
		fr := &frameReader{r: iotest.OneByteReader(bytes.NewReader(frame)), limit: helloLimit}
		payload, err := fr.next()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := reencode(payload)
		if err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%s: %v\n%x, want\n%x", name, err, again, payload)
		}
		for n := range len(payload) { // nothing that is cut short passes for whole
			cut, err := reencode(payload[:n])
			if err == nil && !bytes.Equal(cut, payload[:n]) {
				t.Errorf("%s: %d of %d bytes are taken for %x", name, n, len(payload), cut)
			}
		}
	}
}

// What a later version adds behind the fields we know is skipped.
func TestFieldsAreAddedAtTheEnd(t *testing.T) {
	e := newEncoder()
	h := &Hello{Name: "a", Group: "g"}
	h.encode(e)
	e.string("something new")
	var got Hello
	_, d := decode(e.finish()[frameHeader:])
	if err := got.decode(d); err != nil || !reflect.DeepEqual(&got, h) {
		t.Errorf("%+v %v, want %+v", got, err, h)
	}
}

// Of a version that we don't speak nothing but its number is read.
func TestOpenOfAnotherVersion(t *testing.T) {
	e := newEncoder()
	e.begin(frameOpen)
	e.uint(99)
	e.bool(true) // where the nonce is
	_, d := decode(e.finish()[frameHeader:])
	if version, _, err := decodeOpen(d); err != nil || version != 99 {
		t.Errorf("%d %v", version, err)
	}
}

// The format is what the golden files say.
func TestGoldenFrames(t *testing.T) {
	for name, frame := range someFrames() {
		file := filepath.Join("testdata", name+".hex")
		if os.Getenv("HOLDFAST_GOLDEN") != "" {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(frame)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(frame); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is\n%s, want\n%s", name, got, want)
		}
	}
}

func TestFrameReader(t *testing.T) {
	good := someFrames()["ack"]
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 4
	long := bytes.Clone(good)
	binary.BigEndian.PutUint32(long, 1<<31)
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"half a header", good[:5], io.ErrUnexpectedEOF},
		{"half a payload", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"no payload", good[:frameHeader], io.ErrUnexpectedEOF},
		{"a bit flipped", flipped, errFrameCRC},
		{"longer than the limit", long, errFrameTooLong},
		{"empty", make([]byte, 8), errFrameTooLong},
		{"another protocol", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), errFrameTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fr := &frameReader{r: bytes.NewReader(tt.in), limit: helloLimit}
			if _, err := fr.next(); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// A length that is announced costs nothing until the bytes come.
func TestFrameReaderAllocatesWhatArrives(t *testing.T) {
	const limit = 64 << 20
	head := binary.BigEndian.AppendUint32(nil, limit)
	in := append(binary.BigEndian.AppendUint32(head, 0), make([]byte, 1000)...)
	fr := &frameReader{r: bytes.NewReader(in), limit: limit}
	if _, err := fr.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(fr.buf) > readStep {
		t.Errorf("%d bytes allocated for 1000", cap(fr.buf))
	}
}

// cutAll returns the records of a frame.
func cutAll(d *decoder) (raws [][]byte, err error) {
	for rest := d.rest(); len(rest) > 0; {
		raw, behind, whole := record.CutFramed(rest)
		if !whole {
			return nil, errFrame
		}
		raws, rest = append(raws, raw), behind
	}
	return raws, nil
}
