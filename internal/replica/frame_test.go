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

// sampleFrames returns one frame of each type.
func sampleFrames() map[string][]byte {
	frames := make(map[string][]byte)
	add := func(name string, t frameType, b frameBody) { frames[name] = newFrame(t, b) }
	hello := &Hello{Name: "a", Run: 1 << 63, Group: "pair", Digest: "d", Outbound: true, Topics: []string{"^x$", "y"}, Cluster: journal.ClusterID{1, 15: 2}, Intact: true, Permissions: Permissions{1 << 63, [32]byte{9}}}
	all := &Hello{Name: "b", Sync: true, Damaged: true, Empty: true, CRCTopics: 1 << 31, GroupClock: journal.GroupClock{Now: 9, Forgotten: 8}}
	add("hello", frameHello, hello)
	add("hello-all-topics", frameHello, all)
	add("states", frameStates, newStatesFrame([]journal.PublisherState{{Publisher: 1 << 60, Owner: "u", Check: bookmark.Check{1, 15: 2}, Have: 300, Durable: 200, Floor: 100, RunningCRC: 1 << 31, Diverged: 250}, {Publisher: 2, Closing: true}, {Publisher: 3, Owner: "v"}, {Publisher: 4, Owner: "u"}}))
	e := newEncoder()
	e.begin(frameRecords)
	e.record([]byte("one record"))
	e.record(bytes.Repeat([]byte("another"), 100))
	frames["records"] = e.finish()
	add("ack", frameAck, vectorFrameOf([]bookmark.Bookmark{bm(1, 2), bm(1<<64-1, 1<<40)}))
	add("closing", frameClosing, &closingFrame{[]bookmark.Bookmark{bm(1, 2)}, true})
	add("notice", frameNotice, &noticeFrame{7, Notice{ClientName: "c", User: "u", Publisher: 9, Check: bookmark.Check{9}, LogonCounter: 3, Instance: "a"}})
	add("answer", frameAnswer, &noticeAnswer{7, 99, ledger.Reply{NameTaken: true, Outbid: true}, true, false, journal.GroupClock{Now: 5, Forgotten: 4}, "u"})
	add("heartbeat", frameHeartbeat, &heartbeat{more: true, moved: []journal.PublisherState{{Publisher: 5, Have: 6, RunningCRC: 7}}, groupClock: journal.GroupClock{Now: 1 << 40}, wall: 1 << 50, permissions: Permissions{7, [32]byte{1, 31: 2}}})
	add("refuse", frameRefuse, &RefusedError{Code: refuseRecord, Reason: "a hole"})
	decree := journal.Decree{Incarnation: 2, ID: 1 << 63, Members: []string{"c"}, Lost: []string{"a", "b"}, Time: time.UnixMicro(9), Age: time.Hour, Ended: true}
	add("decree", frameDecree, &decreeMessage{number: 7, kind: decreeTake, decree: decree})
	add("decree-answer", frameDecree, &decreeMessage{number: 7, kind: decreeAnswer, problem: "no"})
	add("hello-decree", frameHello, &Hello{Name: "c", Outbound: true, Decree: decree, Empty: true})
	add("stopping", frameStopping, new(phaseDrained))
	add("open", frameOpen, &openFrame{protocolVersion, nonce{1, 2, 3}})
	add("diverged", frameDiverged, vectorFrameOf([]bookmark.Bookmark{bm(1, 2), bm(1<<64-1, 1<<40)}))
	add("proof", frameProof, proofOf(bytes.Repeat([]byte{9}, macBytes)))
	return frames
}

func vectorFrameOf(list []bookmark.Bookmark) *vectorFrame { return (*vectorFrame)(&list) }

func proofOf(proof []byte) *proofFrame { return (*proofFrame)(&proof) }

// decode returns a decoder that has read the payload's type.
func decode(payload []byte) (frameType, *decoder) {
	d := newDecoder()
	return d.begin(payload), d
}

// reencode decodes a payload and encodes the result again.
func reencode(payload []byte) ([]byte, error) {
	t, d := decode(payload)
	if t == frameRecords {
		raws, err := recordsOf(d)
		e := newEncoder()
		e.begin(t)
		for _, raw := range raws {
			e.record(raw)
		}
		return e.finish()[frameHeader:], err
	}
	m := map[frameType]frameBody{
		frameHello: new(Hello), frameDecree: new(decreeMessage), frameStates: new(statesFrame), frameAck: new(vectorFrame),
		frameClosing: new(closingFrame), frameDiverged: new(vectorFrame), frameNotice: new(noticeFrame), frameAnswer: new(noticeAnswer),
		frameHeartbeat: new(heartbeat), frameStopping: new(stopPhase), frameOpen: new(openFrame), frameProof: new(proofFrame), frameRefuse: new(RefusedError),
	}[t]
	if m == nil {
		return nil, errFrame
	}
	if err := d.body(m); err != nil {
		return nil, err
	}
	if f, is := m.(*statesFrame); is {
		m = statesFrameOf(f.last, f.states)
	}
	return newFrame(t, m)[frameHeader:], nil
}

// statesFrameOf returns a frame with all of the states.
func statesFrameOf(last bool, states []journal.PublisherState) *statesFrame {
	f := newStatesFrame(states)
	f.last = last
	return f
}

func TestFramesRoundTrip(t *testing.T) {
	for name, frame := range sampleFrames() {
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
		for n := range len(payload) { // a truncated frame is never read as a complete one
			truncated, err := reencode(payload[:n])
			if err == nil && !bytes.Equal(truncated, payload[:n]) {
				t.Errorf("%s: %d of %d bytes are read as %x", name, n, len(payload), truncated)
			}
		}
	}
}

// Fields that a later version adds at the end are skipped.
func TestAddedFieldsAreSkipped(t *testing.T) {
	e := newEncoder()
	h := &Hello{Name: "a", Group: "g"}
	e.frame(frameHello, h)
	e.string(new("something new"))
	var got Hello
	_, d := decode(e.finish()[frameHeader:])
	if err := d.body(&got); err != nil || !reflect.DeepEqual(&got, h) {
		t.Errorf("%+v %v, want %+v", got, err, h)
	}
}

// Of an open frame of an unknown version only the version is read.
func TestOpenOfAnotherVersion(t *testing.T) {
	e := newEncoder()
	e.begin(frameOpen)
	e.uint(new(uint64(99)))
	e.bool(new(true)) // in the place of the nonce
	_, d := decode(e.finish()[frameHeader:])
	var open openFrame
	if err := d.body(&open); err != nil || open.version != 99 {
		t.Errorf("%d %v", open.version, err)
	}
}

// The format matches the golden files.
func TestGoldenFrames(t *testing.T) {
	for name, frame := range sampleFrames() {
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
	good := sampleFrames()["ack"]
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

// An announced length allocates nothing until the bytes arrive.
func TestFrameReaderAllocatesOnArrival(t *testing.T) {
	const limit = 64 << 20
	head := binary.BigEndian.AppendUint32(nil, limit)
	in := append(binary.BigEndian.AppendUint32(head, 0), make([]byte, 1000)...)
	fr := &frameReader{r: bytes.NewReader(in), limit: limit}
	if _, err := fr.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if fr.buf.Cap() > readStep {
		t.Errorf("%d bytes allocated for 1000", fr.buf.Cap())
	}
}

// recordsOf returns the records of a frame.
func recordsOf(d *decoder) (raws [][]byte, err error) {
	for rest := d.rest(); len(rest) > 0; {
		raw, remaining, ok := record.CutFramed(rest)
		if !ok {
			return nil, errFrame
		}
		raws, rest = append(raws, raw), remaining
	}
	return raws, nil
}
