package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// FuzzReader reads a stream as a whole, byte by byte, and in halves. The frames and the error
// are the same each time. The length that a frame claims takes no memory before the bytes have
// arrived.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, v := range vectors(f) {
		f.Add(v.frame(f))
		all = append(all, v.frame(f)...)
	}
	f.Add(all)
	f.Add([]byte(frameOf("") + frameOf(`{"t":"a"}`+strings.Repeat("x", 300)) + frameOf("{}")))
	f.Add([]byte("\x7f\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 150
		whole, err := readAll(wire.NewReader(bytes.NewReader(stream), limit))
		for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(stream)), iotest.HalfReader(bytes.NewReader(stream))} {
			frames, err2 := readAll(wire.NewReader(r, limit))
			if !slices.Equal(whole, frames) || fmt.Sprint(err) != fmt.Sprint(err2) {
				t.Errorf("whole: %q, %v\nin pieces: %q, %v", whole, err, frames, err2)
			}
		}
		heap.Bounded(t, len(stream), 16, 16<<10, func() { readAll(wire.NewReader(bytes.NewReader(stream), 1<<31-1)) })
		if frames := framesOf(stream, limit); !slices.Equal(frames, whole[:min(len(frames), len(whole))]) || len(frames) > len(whole) {
			t.Errorf("the stream has frames %q, read as %q", frames, whole)
		}
	})
}

// framesOf cuts a stream into frames in a simple way, up to the first frame that is longer than
// limit or incomplete.
func framesOf(stream []byte, limit int) (frames []string) {
	for len(stream) >= 4 {
		n := binary.BigEndian.Uint32(stream)
		stream = stream[4:]
		if uint64(n) > uint64(min(limit, len(stream))) {
			break
		}
		if n > 0 {
			frames = append(frames, string(stream[:n]))
		}
		stream = stream[n:]
	}
	return frames
}

// FuzzParse parses a frame. The message is the same after it was written and read again. If the
// header is JSON, its values are those of encoding/json.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.frame(f)[4:])
	}
	f.Add([]byte(`{"c":"p","headers":"AWsBAHY=","t":"\n"}`))
	f.Add([]byte(`{"c":"p","t":"\ud83d\ude00\u00e9\n","s":18446744073709551615,"cid":"x","s":7}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var m wire.Message
		var err error
		heap.Bounded(t, len(frame), 16, 4<<10, func() { err = wire.Parse(frame, &m) })
		if err != nil {
			var header *wire.HeaderError
			if !errors.As(err, &header) || header.Offset > len(frame) {
				t.Errorf("error %v", err)
			}
			return
		}
		compareJSON(t, frame, &m)
		if len(frame)-len(m.Body) > wire.MaxHeader/6 {
			return // escapes can make the header too long for a reader
		}
		checkSame(t, parse(t, wire.AppendMessage(nil, &m)[4:]), &m)
		checkRecords(t, &m)
	})
}

// checkRecords reads the body as the body of a sow frame.
func checkRecords(t *testing.T, m *wire.Message) {
	t.Helper()
	var rec wire.Message
	left := len(m.Body)
	for rest, err := wire.NextRecord(m.Body, m, &rec); err == nil; rest, err = wire.NextRecord(rest, m, &rec) {
		if uint64(len(rec.Body)) != rec.Length || len(rest) >= left {
			t.Errorf("a record of %d bytes claims %d and leaves %d of %d", len(rec.Body), rec.Length, len(rest), left)
		}
		left = len(rest)
	}
}

// compareJSON compares a few fields with those of another parser, if the header is strict JSON
// without a repeated key.
func compareJSON(t *testing.T, frame []byte, m *wire.Message) {
	t.Helper()
	header := frame[:len(frame)-len(m.Body)]
	fields := map[string]json.RawMessage{}
	if !utf8.Valid(header) || bytes.Contains(bytes.ToLower(header), []byte(`\ud`)) || json.Unmarshal(header, &fields) != nil {
		return
	}
	if bytes.Count(header, []byte(`:`)) != len(fields) {
		return // a repeated key, or a text that looks like a key
	}
	for key, got := range map[string][]byte{"t": m.Topic, "cid": m.CommandID, "bm": m.Bookmark, "sub_id": m.SubID, "filter": m.Filter} {
		var want string
		raw, found := fields[key]
		if !found || hasLongName(fields, key) || json.Unmarshal(raw, &want) != nil || string(raw) == "null" {
			continue
		}
		if string(got) != want {
			t.Errorf("%s of %q is read as %q, want %q", key, header, got, want)
		}
	}
	if raw, found := fields["s"]; found && !hasLongName(fields, "s") {
		if want, err := strconv.ParseUint(strings.Trim(string(raw), `"`), 10, 64); err == nil && m.Sequence != want {
			t.Errorf("s of %q is read as %d, want %d", header, m.Sequence, want)
		}
	}
}

// hasLongName reports whether the longer name of a key is present.
func hasLongName(fields map[string]json.RawMessage, key string) bool {
	_, found := fields[map[string]string{"t": "topic", "cid": "cmd_id", "bm": "bookmark", "filter": "f", "s": "seq"}[key]]
	return found
}

// FuzzCommands writes each command with random texts and numbers, and reads it again. Every
// text stays the same, whatever characters it has.
func FuzzCommands(f *testing.F) {
	f.Add("7", "orders", "sub", uint64(42), []byte(`{"id":1}`))
	f.Add("", "", "", uint64(0), []byte{})
	f.Add(`"`, "\\\x00\xff\u2028", `","c":"logon`, uint64(bookmark.MaxSequence), []byte("}"))
	f.Fuzz(func(t *testing.T, id, topic, text string, n uint64, body []byte) {
		if len(id)+len(topic)+len(text) > wire.MaxHeader/64 {
			return
		}
		n &= bookmark.MaxSequence
		for _, w := range []writer{
			&wire.PublishCommand{CommandID: id, Topic: topic, Acks: wire.AckPersisted, Sequence: n, CorrelationID: text, SOWKey: id, Headers: []byte(text), Body: body},
			&wire.PublishCommand{Delta: true, CommandID: id, Topic: topic, Expiration: n, HasExpiration: true, Body: body},
			&wire.LogonCommand{CommandID: id, ClientName: topic, UserID: text, Password: id, Acks: wire.AckProcessed, Options: text, Ext: true, Store: text, Counter: n, Acked: n, Last: n},
			&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, Topic: topic, SubID: text, Bookmark: text, Filter: id, Options: text},
			&wire.SubscribeCommand{Command: wire.SOW, CommandID: id, Topic: topic, QueryID: text, OrderBy: id, BatchSize: n, TopN: n},
			&wire.SubscribeCommand{Command: wire.SOWDelete, CommandID: id, Topic: topic, Filter: text, SOWKeys: text, Body: body},
			&wire.UnsubscribeCommand{CommandID: id, SubID: text},
			&wire.FlushCommand{CommandID: id, Acks: wire.AckCompleted},
			&wire.HeartbeatCommand{CommandID: id, Options: wire.HeartbeatStart(time.Duration(n%100+1) * time.Second)},
			&wire.AckMessage{CommandID: id, Type: wire.AckPersisted, Success: true, Sequence: n, HasSequence: true, Bookmark: text, Reason: topic, SubID: text, Gap: text},
			&wire.AckMessage{CommandID: id, ClientName: text, Type: wire.AckProcessed, Ext: true, Have: n, Max: n, Carried: text, HasCarried: true, Instance: text, Peers: id, Sync: topic},
			&wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Success: true, Sync: text},
			&wire.Delivery{Topic: []byte(topic), Bookmark: bookmark.Bookmark{Publisher: n, Sequence: n}, SubIDs: []byte(text), SOWKey: []byte(id), UserID: []byte(topic), CorrelationID: []byte(text), Headers: []byte(text), Body: body},
		} {
			frame := w.AppendTo(nil)
			var m wire.Message
			if int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
				t.Fatalf("%T: a frame of %d bytes has the length %x", w, len(frame), frame[:4])
			}
			if err := wire.Parse(frame[4:], &m); err != nil {
				t.Fatalf("%T %q: %v", w, frame, err)
			}
			checkSame(t, parse(t, wire.AppendMessage(nil, &m)[4:]), &m)
			checkTexts(t, w, &m, id, topic, n)
		}
	})
}

// checkTexts compares the values given to a writer with the values that were read.
func checkTexts(t *testing.T, w writer, m *wire.Message, id, topic string, n uint64) {
	t.Helper()
	if _, delivery := w.(*wire.Delivery); !delivery && string(m.CommandID) != id {
		t.Errorf("%T: cid %q is read as %q", w, id, m.CommandID)
	}
	switch w := w.(type) {
	case *wire.PublishCommand:
		if string(m.Topic) != topic || m.Sequence != w.Sequence || m.Expiration != w.Expiration ||
			string(m.CorrelationID) != w.CorrelationID || !bytes.Equal(m.Headers, w.Headers) || !bytes.Equal(m.Body, w.Body) {
			t.Errorf("%+v is read as %+v", w, m)
		}
	case *wire.SubscribeCommand:
		if m.Command != w.Command || string(m.Topic) != topic || string(m.Bookmark) != w.Bookmark || string(m.Options) != w.Options || m.TopN != w.TopN {
			t.Errorf("%+v is read as %+v", w, m)
		}
	case *wire.LogonCommand:
		if string(m.ClientName) != topic || string(m.Store) != w.Store || m.Counter != n || m.Acked != n || string(m.Password) != w.Password {
			t.Errorf("%+v is read as %+v", w, m)
		}
	case *wire.AckMessage:
		if m.Sequence != w.Sequence || m.Have != w.Have || string(m.Reason) != w.Reason || string(m.Gap) != w.Gap || string(m.Carried) != w.Carried ||
			string(m.Instance) != w.Instance || w.Instance != "" && string(m.Peers) != w.Peers || string(m.Sync) != w.Sync {
			t.Errorf("%+v is read as %+v", w, m)
		}
	case *wire.Delivery:
		if string(m.Topic) != topic || !bytes.Equal(m.SubIDs, w.SubIDs) || !bytes.Equal(m.CorrelationID, w.CorrelationID) || !bytes.Equal(m.Headers, w.Headers) || !bytes.Equal(m.Body, w.Body) {
			t.Errorf("%+v is read as %+v", w, m)
		}
	}
}
