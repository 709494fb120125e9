package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A vector is one frame of testdata/wire_vectors.json.
type vector struct {
	ID      string     `json:"id"`
	Dir     string     `json:"dir"`
	What    string     `json:"what"`
	Prefix  string     `json:"prefix"`  // hex
	Payload string     `json:"payload"` // hex
	Segs    [][]string `json:"segs"`    // header, body in hex
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/wire_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) != 63 {
		t.Fatalf("%d vectors", len(vs))
	}
	return vs
}

func vectorNamed(t testing.TB, id string) vector {
	t.Helper()
	for _, v := range vectors(t) {
		if v.ID == id {
			return v
		}
	}
	t.Fatalf("no vector %s", id)
	return vector{}
}

// frame returns the whole frame with its prefix.
func (v vector) frame(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Prefix + v.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, content []byte) *wire.Message {
	t.Helper()
	var m wire.Message
	if err := wire.Parse(content, &m); err != nil {
		t.Fatalf("Parse(%q): %v", content, err)
	}
	return &m
}

// checkSame compares the exported fields. A nil slice and an empty one differ.
func checkSame(t testing.TB, got, want *wire.Message) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if !f.IsExported() || f.Name == "CommandText" && want.Command != wire.Unknown {
			continue
		}
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s = %q, want %q", f.Name, g.Field(i), w.Field(i))
		}
	}
}

// These vectors have forms that readers tolerate, or keys that they skip (gseq, lp). Writers
// never write them.
var notWritten = map[string]bool{"V09": true, "V33": true, "V49": true, "V63": true}

func TestVectorsAreReadAndWritten(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			frame := v.frame(t)
			m := parse(t, frame[4:])
			if m.Command == wire.Unknown {
				t.Errorf("command %q is unknown", m.CommandText)
			}
			again := wire.AppendMessage(nil, m)
			if string(again) != string(frame) && !notWritten[v.ID] {
				t.Errorf("written again as\n%q, want\n%q", again, frame)
			}
			checkSame(t, parse(t, again[4:]), m)
		})
	}
}

// The values are compared with those of an independent JSON parser.
func TestVectorsHaveTheseValues(t *testing.T) {
	for _, v := range vectors(t) {
		m := parse(t, v.frame(t)[4:])
		var want map[string]any
		if err := json.Unmarshal([]byte(v.Segs[0][0]), &want); err != nil {
			t.Fatal(err)
		}
		for key, text := range map[string][]byte{
			"c": m.CommandText, "cid": m.CommandID, "t": m.Topic, "bm": m.Bookmark, "filter": m.Filter, "opts": m.Options,
			"sub_id": m.SubID, "sids": m.SubIDs, "query_id": m.QueryID, "orderby": m.OrderBy, "k": m.SOWKey,
			"sow_keys": m.SOWKeys, "x": m.CorrelationID, "ts": m.Timestamp, "client_name": m.ClientName,
			"user_id": m.UserID, "pw": m.Password, "mt": m.MessageType, "version": m.Version, "status": m.Status, "reason": m.Reason,
		} {
			if w, ok := want[key].(string); ok != (text != nil) || w != string(text) {
				t.Errorf("%s: %s = %q, want %v", v.ID, key, text, want[key])
			}
		}
		for key, n := range map[string]uint64{
			"s": m.Sequence, "e": m.Expiration, "bs": m.BatchSize, "matches": m.Matches, "topic_matches": m.TopicMatches,
			"records_returned": m.RecordsReturned, "records_deleted": m.RecordsDeleted,
		} {
			if w, _ := want[key].(float64); w != float64(n) {
				t.Errorf("%s: %s = %d, want %v", v.ID, key, n, want[key])
			}
		}
		if a, _ := want["a"].(string); m.Acks.String() != a {
			t.Errorf("%s: a = %v, want %q", v.ID, m.Acks, a)
		}
		if body, _ := hex.DecodeString(v.Segs[0][1]); len(v.Segs) == 1 && string(m.Body) != string(body) {
			t.Errorf("%s: body %q, want %q", v.ID, m.Body, body)
		}
	}
}

func TestSOWRecords(t *testing.T) {
	outer := parse(t, vectorNamed(t, "V33").frame(t)[4:])
	type record struct{ key, correlation, topic, body string }
	want := []record{
		{"12010650231874566212", "", "orders", `{"id":1,"px":11}`},
		{"4418302280195110637", "cmVxLTI=", "orders", `{"id":2,"px":10.5}`},
	}
	var rec wire.Message
	rest := outer.Body
	for _, w := range want {
		var err error
		if rest, err = wire.NextRecord(rest, outer, &rec); err != nil {
			t.Fatal(err)
		}
		got := record{string(rec.SOWKey), string(rec.CorrelationID), string(rec.Topic), string(rec.Body)}
		if got != w || string(rec.QueryID) != "9" {
			t.Errorf("record %q, want %q", got, w)
		}
	}
	if _, err := wire.NextRecord(rest, outer, &rec); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// The fields of one record do not appear in the next record.
func TestSOWRecordBeginsWithTheOuterHeader(t *testing.T) {
	outer := parse(t, []byte(`{"c":"sow","x":"out\ter","t":"a"}`))
	var rec wire.Message
	rest, err := wire.NextRecord([]byte(`{"l":1,"x":"r\"1","t":"b"}X {"l":"0"}`), outer, &rec)
	if err != nil || string(rec.CorrelationID) != `r"1` || string(rec.Topic) != "b" || string(rec.Body) != "X" {
		t.Fatalf("first record %q %q %q, %v", rec.CorrelationID, rec.Topic, rec.Body, err)
	}
	rest, err = wire.NextRecord(rest, outer, &rec)
	if err != nil || string(rec.CorrelationID) != "out\ter" || string(rec.Topic) != "a" || len(rec.Body) != 0 || len(rest) != 0 {
		t.Errorf("second record %q %q %q, rest %q, %v", rec.CorrelationID, rec.Topic, rec.Body, rest, err)
	}
}

func TestBadSOWRecords(t *testing.T) {
	outer := parse(t, []byte(`{"c":"sow","l":1}`))
	for _, body := range []string{`{}x`, `{"k":"1"}x`, `{"l":2}x`, `{"l":18446744073709551615}x`, `x`, `{"l":1`} {
		var rec wire.Message
		var header *wire.HeaderError
		if _, err := wire.NextRecord([]byte(body), outer, &rec); !errors.As(err, &header) {
			t.Errorf("NextRecord(%s): %v", body, err)
		}
	}
}
