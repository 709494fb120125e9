package record_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
)

var samples = []record.Record{
	{Kind: record.Message, Publisher: 7, Sequence: 1, Topic: []byte("orders"), Body: []byte(`{"id":1}`)},
	{Kind: record.Message, Publisher: math.MaxUint64, Sequence: math.MaxInt64, Prev: math.MaxInt64 - 1, Topic: []byte("t"),
		Body: []byte("b"), User: []byte("u"), CorrelationID: []byte("x"), SOWKey: []byte("k"), Expiration: 9, Delta: true},
	{Kind: record.Tombstone, Publisher: 7, Sequence: 2, Prev: 1, Topic: []byte("secret"), Reason: []byte("not entitled")},
	{Kind: record.Empty, Publisher: 7, Sequence: 3, Prev: 2},
	{Kind: record.Gone, Publisher: 7, Sequence: 40, Prev: 30, RunningCRC: 0xdeadbeef},
	{Kind: record.Gone, Publisher: 7, Sequence: 40, Prev: 3, Cause: record.Lost, Reason: []byte("lost")},
	{Kind: record.Message, Publisher: 8, Sequence: 1, Topic: []byte("t"), Check: bookmark.Check{1, 15: 2}},
	{Kind: record.Elsewhere, Publisher: 7, Sequence: 50, Prev: 40},
	{Kind: record.Elsewhere, Publisher: 7, Sequence: 50, Prev: 40, User: []byte("u")},
	{Kind: record.Tombstone, Publisher: 7, Sequence: 2, Prev: 1, Reason: []byte("no"), User: []byte(strings.Repeat("u", record.MaxUser))},
	{Kind: record.Gone, Publisher: 7, Sequence: 40, Prev: 3, Cause: record.LetGo, User: []byte("u")},
	{Kind: record.Empty, Publisher: 7, Sequence: 3, Prev: 2, User: []byte("u")},
	{Kind: record.Message, Publisher: 7, Sequence: 9, Prev: 8, Topic: []byte("t"), Headers: headers("k", "v", "empty", "", "z", "\x00\xff"), Body: []byte("b")},
	{Kind: record.Message, Publisher: 7, Sequence: 9, Prev: 8, Topic: []byte("t"), Headers: headers("k", strings.Repeat("v", record.MaxHeaders-4)),
		CorrelationID: []byte("\x00\xff"), User: []byte("u")},
}

// headers returns the encoding of pairs of key and value.
func headers(pairs ...string) (encoded []byte) {
	for i := 0; i < len(pairs); i += 2 {
		encoded = record.AppendHeader(encoded, pairs[i], pairs[i+1])
	}
	return encoded
}

func encode(t testing.TB, r record.Record) []byte {
	t.Helper()
	raw, err := record.Append(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// same compares the fields of two records that their bytes encode.
func same(a, b record.Record) bool {
	for _, r := range []*record.Record{&a, &b} {
		r.Position, r.Next, r.Time, r.Raw, r.Sum = 0, 0, 0, nil, 0
		for _, f := range []*[]byte{&r.Topic, &r.Body, &r.Reason, &r.User, &r.CorrelationID, &r.SOWKey, &r.Headers} {
			*f = append([]byte{}, *f...)
		}
	}
	return reflect.DeepEqual(a, b)
}

func TestRoundTrip(t *testing.T) {
	for _, want := range samples {
		raw := encode(t, want)
		var got record.Record
		if err := record.Parse(raw, &got); err != nil {
			t.Fatalf("%v: %v", want.Kind, err)
		}
		if !same(got, want) || !bytes.Equal(got.Raw, raw) {
			t.Errorf("%v: got %+v, want %+v", want.Kind, got, want)
		}
	}
}

// Other processes and later versions read the encoding, so it must not change by accident.
func TestGolden(t *testing.T) {
	for want, r := range map[string]record.Record{
		"10" + "22" + "2d00" + "e96a6377" + "0200000000000000" + "0300000000000000" + "01000000000000000000000000000002" + "0300" + hex.EncodeToString([]byte("joe")) +
			"0f" + "0100" + hex.EncodeToString([]byte("t")) + "0100" + hex.EncodeToString([]byte("x")) + "0200" + hex.EncodeToString([]byte("kk")) + "05000000" + hex.EncodeToString([]byte("bb")): {
			Kind: record.Message, Publisher: 2, Sequence: 3, Prev: 2, Topic: []byte("t"), Body: []byte("bb"), User: []byte("joe"),
			CorrelationID: []byte("x"), SOWKey: []byte("kk"), Expiration: 5, Delta: true, Check: bookmark.Check{1, 15: 2}},
		"13" + "1d" + "2900" + "00000000" + "0200000000000000" + "0900000000000000" + "0300000000000000" + "08000000" + "02" + "0200" + hex.EncodeToString([]byte("no")): {
			Kind: record.Gone, Publisher: 2, Sequence: 9, Prev: 3, RunningCRC: 8, Cause: record.Lost, Reason: []byte("no")},
		"10" + "00" + "1800" + "a329da8a" + "0200000000000000" + "0300000000000000" +
			"10" + "0100" + hex.EncodeToString([]byte("t")) + "0b00" + "02" + hex.EncodeToString([]byte("k1")) + "0100" + hex.EncodeToString([]byte("v")) +
			"02" + hex.EncodeToString([]byte("k2")) + "0000" + hex.EncodeToString([]byte("bb")): {
			Kind: record.Message, Publisher: 2, Sequence: 3, Prev: 2, Topic: []byte("t"), Body: []byte("bb"), Headers: headers("k1", "v", "k2", "")},
	} {
		if got := hex.EncodeToString(encode(t, r)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := encode(t, samples[1])
	if good[1] != 0x20 {
		t.Fatalf("flags %#x", good[1])
	}
	gone, long := encode(t, samples[5]), longUser(t)
	change := func(good []byte, at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	content := int(good[2])
	for name, raw := range map[string][]byte{
		"nothing":                         nil,
		"short header":                    good[:23],
		"no content":                      good[:content],
		"short content":                   good[:content+2],
		"cut in the topic":                good[:content+3],
		"header too short":                change(good, 2, 23),
		"header too long":                 change(good, 3, 1),
		"more in the header":              change(good, 2, good[2]+1),
		"less in the header":              change(good, 2, good[2]-1),
		"unknown kind":                    change(good, 0, 0x15),
		"state record":                    change(good, 0, 0x20),
		"a check that is missing":         change(good, 1, 0x22),
		"unknown header flag":             change(good, 1, 0x60),
		"unknown content flag":            change(good, content, 0x2f),
		"empty text":                      change(good, content+4, 0),
		"no cause":                        change(gone, 32, 0),
		"unknown cause":                   change(gone, 32, 4),
		"sequence out of range":           change(gone, 23, 0x80),
		"sequence 0":                      append(append(bytes.Clone(good[:16]), make([]byte, 8)...), good[24:]...),
		"predecessor not before":          change(gone, 24, 40),
		"predecessor that is the default": change(gone, 24, 39),
		"a message for two":               append(append(change(gone, 0, 0x10)[:1:1], 1), gone[2:32]...),
		"a user that is missing":          change(gone, 1, gone[1]|0x20),
		"a marker with content":           append(bytes.Clone(gone), 0, 0, 0),
		"a marker with a sum":             change(gone, 4, 1),
		"a user that is too long":         long,
	} {
		var r record.Record
		if err := record.Parse(raw, &r); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// longUser returns the bytes of a gone record whose user is one byte too long.
func longUser(t *testing.T) []byte {
	raw := append(encode(t, record.Record{Kind: record.Gone, Publisher: 7, Sequence: 3, Prev: 2, User: bytes.Repeat([]byte("u"), record.MaxUser)}), 'u')
	for at, n := range map[int]int{2: len(raw), 24: record.MaxUser + 1} {
		binary.LittleEndian.PutUint16(raw[at:], uint16(n))
	}
	return raw
}

func TestAppendRefuses(t *testing.T) {
	for name, r := range map[string]record.Record{
		"sequence 0":              {Kind: record.Message},
		"sequence too large":      {Kind: record.Gone, Sequence: 1 << 63},
		"predecessor not before":  {Kind: record.Gone, Sequence: 5, Prev: 5},
		"a message for two":       {Kind: record.Message, Sequence: 5, Prev: 3},
		"unknown kind":            {Kind: 9, Sequence: 1},
		"unknown cause":           {Kind: record.Gone, Sequence: 5, Cause: 4},
		"a message's reason":      {Kind: record.Message, Sequence: 1, Reason: []byte("x")},
		"a message's cause":       {Kind: record.Message, Sequence: 1, Cause: record.Lost},
		"a user that is too long": {Kind: record.Message, Sequence: 1, User: make([]byte, record.MaxUser+1)},
		"a marker's body":         {Kind: record.Elsewhere, Sequence: 1, Body: []byte("x")},
	} {
		if b, err := record.Append([]byte("x"), &r); !errors.Is(err, record.ErrMalformed) || string(b) != "x" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The sum covers the content of a message and nothing else.
func TestSum(t *testing.T) {
	base := record.Record{Kind: record.Message, Publisher: 1, Sequence: 1, Topic: []byte("ab"), Body: []byte("c")}
	sum := func(change func(*record.Record)) uint32 {
		r := base
		change(&r)
		raw := encode(t, r)
		var got record.Record
		if err := record.Parse(raw, &got); err != nil || !got.SumMatches() {
			t.Errorf("%v: %v", got, err)
		}
		for at := int(raw[2]); at < len(raw); at++ {
			raw[at]++
			if got.SumMatches() {
				t.Errorf("byte %d is not in the sum", at)
			}
			raw[at]--
		}
		if r.SetSum(); r.Sum != got.Sum {
			t.Errorf("SetSum sets %#x, Append writes %#x", r.Sum, got.Sum)
		}
		return got.Sum
	}
	seen := map[uint32]string{sum(func(*record.Record) {}): "base"}
	for name, change := range map[string]func(*record.Record){
		"boundary":            func(r *record.Record) { r.Topic, r.Body = []byte("a"), []byte("bc") },
		"body":                func(r *record.Record) { r.Body = []byte("d") },
		"correlation":         func(r *record.Record) { r.CorrelationID = []byte("x") },
		"key":                 func(r *record.Record) { r.SOWKey = []byte("x") },
		"key and correlation": func(r *record.Record) { r.CorrelationID, r.SOWKey = []byte("x"), []byte("x") },
		"expiration":          func(r *record.Record) { r.Expiration = 1 },
		"headers":             func(r *record.Record) { r.Headers = headers("k", "v") },
		"other headers":       func(r *record.Record) { r.Headers = headers("k", "w") },
		"headers in the body": func(r *record.Record) { r.Body = append(headers("k", "v"), 'c') },
		"delta":               func(r *record.Record) { r.Delta = true },
	} {
		s := sum(change)
		if had, twice := seen[s]; twice {
			t.Errorf("%s has the sum of %s", name, had)
		}
		seen[s] = name
	}
	if seen[sum(func(r *record.Record) {
		r.User, r.Publisher, r.Sequence, r.Prev, r.Check = []byte("u"), 2, 3, 2, bookmark.Check{1}
	})] != "base" {
		t.Error("the sum covers more than the content")
	}
}

// A record with an inserted check has the same bytes as one that was written with the
// check. SumWithoutCheck ignores the check.
func TestInsertCheck(t *testing.T) {
	check := bookmark.Check{1, 15: 2}
	for _, want := range samples {
		without := want
		without.Check, want.Check = bookmark.Check{}, check
		var r record.Record
		if err := record.Parse(encode(t, without), &r); err != nil {
			t.Fatal(err)
		}
		plain := record.SumWithoutCheck(r.Raw)
		record.InsertCheck([]byte("before")[:3], &r, check)
		if !bytes.Equal(r.Raw, encode(t, want)) || r.Check != check {
			t.Errorf("%v: %x, want %x", r.Kind, r.Raw, encode(t, want))
		}
		if got := record.SumWithoutCheck(r.Raw); got != plain {
			t.Errorf("%v: sum %#x, without the check %#x", r.Kind, got, plain)
		}
	}
}

func TestTooLarge(t *testing.T) {
	long := []byte(strings.Repeat("x", math.MaxUint16+1))
	for name, r := range map[string]record.Record{
		"topic": {Topic: long}, "reason": {Reason: long}, "user": {User: long}, "x": {CorrelationID: long}, "key": {SOWKey: long},
	} {
		r.Kind, r.Sequence = record.Message, 1
		if name == "reason" {
			r.Kind = record.Tombstone
		}
		if _, err := record.Append(nil, &r); !errors.Is(err, record.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range samples {
		f.Add(encode(f, r))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r record.Record
		err := record.Parse(raw, &r)
		checkOrdinary(t, raw, &r, err)
		if err != nil {
			return
		}
		if r.SumMatches() {
			r.Sum = 0 // encode computes it again
		} else if r.Sum == 0 {
			return
		}
		if got := encode(t, r); !bytes.Equal(got, raw) {
			t.Errorf("%x is encoded again as %x", raw, got)
		}
	})
}

// checkOrdinary checks that raw is an OrdinaryMessage exactly if it is a message without
// header fields other than a user, and that the OrdinaryMessage agrees with the Record.
func checkOrdinary(t *testing.T, raw []byte, r *record.Record, malformed error) {
	o, ordinary := record.AsOrdinary(raw)
	if want := malformed == nil && r.Kind == record.Message && (raw[1] == 0 || raw[1] == 1<<5); ordinary != want {
		t.Fatalf("%x is ordinary: %v, want %v", raw, ordinary, want)
	}
	if ordinary && (o.Publisher() != r.Publisher || o.Sequence() != r.Sequence || o.Sum() != r.Sum || o.SumMatches() != r.SumMatches() ||
		string(o.Topic()) != string(r.Topic) || string(o.User()) != string(r.User) || o.Delta() != r.Delta) {
		t.Errorf("%+v: %d|%d, %q, %x, %v, %v", r, o.Publisher(), o.Sequence(), o.Topic(), o.Sum(), o.SumMatches(), o.Delta())
	}
}

// FuzzFramed cuts any bytes into records, and joins them again.
func FuzzFramed(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00a\x00\x00\x00\x00\x09\x00\x00\x00cut"))
	f.Add(record.AppendFramed(nil, encode(f, samples[0])))
	f.Fuzz(func(t *testing.T, input []byte) {
		var again []byte
		rest := input
		for {
			raw, after, whole := record.CutFramed(rest)
			if !whole {
				break
			}
			again, rest = record.AppendFramed(again, raw), after
		}
		if !bytes.Equal(append(again, rest...), input) {
			t.Errorf("%x became %x", input, again)
		}
	})
}

func TestTemplate(t *testing.T) {
	for _, topic := range []string{"", "orders", strings.Repeat("long", 1000)} {
		template, err := record.NewTemplate(9, topic)
		if err != nil {
			t.Fatal(err)
		}
		for sequence, body := range []string{"", "b", strings.Repeat("body", 500)} {
			want := record.Record{Kind: record.Message, Publisher: 9, Sequence: uint64(sequence) + 1, Prev: uint64(sequence), Topic: []byte(topic), Body: []byte(body)}
			raw, err := record.Append([]byte("before"), &want)
			if err != nil {
				t.Fatal(err)
			}
			got, sum := template.AppendHead([]byte("before"), uint64(sequence)+1, []byte(body))
			if got = append(got, body...); !bytes.Equal(got, raw) || sum != want.Sum {
				t.Errorf("%q, %d: %x, want %x", topic, len(body), got, raw)
			}
		}
	}
	if _, err := record.NewTemplate(9, strings.Repeat("t", 1<<16)); !errors.Is(err, record.ErrTooLarge) {
		t.Error(err)
	}
}
