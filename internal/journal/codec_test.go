package journal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

var samples = []journal.Record{
	{Kind: journal.Message, Publisher: 7, Sequence: 1, Topic: []byte("orders"), Body: []byte(`{"id":1}`)},
	{Kind: journal.Message, Publisher: math.MaxUint64, Sequence: math.MaxInt64, Prev: math.MaxInt64 - 1, Topic: []byte("t"),
		Body: []byte("b"), User: []byte("u"), CorrelationID: []byte("x"), SOWKey: []byte("k"), Expiration: 9, Delta: true},
	{Kind: journal.Tombstone, Publisher: 7, Sequence: 2, Prev: 1, Topic: []byte("secret"), Reason: []byte("not entitled")},
	{Kind: journal.Empty, Publisher: 7, Sequence: 3, Prev: 2},
	{Kind: journal.Gone, Publisher: 7, Sequence: 40, Prev: 30, RunningCRC: 0xdeadbeef},
	{Kind: journal.Gone, Publisher: 7, Sequence: 40, Prev: 3, Cause: journal.Lost, Reason: []byte("lost")},
	{Kind: journal.Message, Publisher: 8, Sequence: 1, Topic: []byte("t"), Check: bookmark.Check{1, 15: 2}},
	{Kind: journal.Elsewhere, Publisher: 7, Sequence: 50, Prev: 40},
}

func encode(t testing.TB, r journal.Record) []byte {
	t.Helper()
	raw, err := journal.Encode(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// same compares what a link carries.
func same(a, b journal.Record) bool {
	for _, r := range []*journal.Record{&a, &b} {
		r.Position, r.Next, r.Time, r.Raw = 0, 0, 0, nil
		for _, f := range []*[]byte{&r.Topic, &r.Body, &r.Reason, &r.User, &r.CorrelationID, &r.SOWKey} {
			*f = append([]byte{}, *f...)
		}
	}
	return reflect.DeepEqual(a, b)
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range samples {
		raw := encode(t, want)
		var got journal.Record
		if err := journal.Decode(raw, &got); err != nil {
			t.Fatalf("%v: %v", want.Kind, err)
		}
		if !same(got, want) || !bytes.Equal(got.Raw, raw) {
			t.Errorf("%v: got %+v, want %+v", want.Kind, got, want)
		}
	}
}

// The layout is what peers of another version read: it must not change unnoticed.
func TestRecordGolden(t *testing.T) {
	want := "10e1" + "0200000000000000" + "0300000000000000" + "0200000000000000" + "0100" + "02000000" +
		hex.EncodeToString([]byte("tbb")) + "05000000" + "08000000" + "01000000000000000000000000000002"
	r := journal.Record{Kind: journal.Message, Publisher: 2, Sequence: 3, Prev: 2, Topic: []byte("t"), Body: []byte("bb"),
		Expiration: 5, Delta: true, RunningCRC: 8, Check: bookmark.Check{1, 15: 2}}
	if got := hex.EncodeToString(encode(t, r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := encode(t, samples[1])
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for name, raw := range map[string][]byte{
		"nothing":                 nil,
		"short header":            good[:31],
		"cut":                     good[:len(good)-1],
		"more behind":             append(bytes.Clone(good), 0),
		"unknown kind":            change(0, 0x15),
		"state record":            change(0, 0x20),
		"check that is not there": change(1, 0x80),
		"unknown cause":           encode(t, journal.Record{Kind: journal.Gone, Sequence: 5, Cause: 4}),
		"a number that is none":   encode(t, journal.Record{Kind: journal.Gone, Sequence: 1 << 63}),
		"topic too long":          change(27, 0xff),
		"body too long":           change(31, 0xff),
		"sequence 0":              encode(t, journal.Record{Kind: journal.Message}),
		"predecessor not before":  encode(t, journal.Record{Kind: journal.Message, Sequence: 5, Prev: 5}),
		"a message for two":       encode(t, journal.Record{Kind: journal.Message, Sequence: 5, Prev: 3}),
	} {
		var r journal.Record
		if err := journal.Decode(raw, &r); err == nil {
			t.Errorf("%s: decoded as %+v", name, r)
		}
	}
}

func TestEncodeTooLarge(t *testing.T) {
	long := []byte(strings.Repeat("x", math.MaxUint16+1))
	for name, r := range map[string]journal.Record{
		"topic": {Topic: long}, "reason": {Reason: long}, "user": {User: long}, "x": {CorrelationID: long}, "key": {SOWKey: long},
	} {
		r.Kind, r.Sequence = journal.Message, 1
		if _, err := journal.Encode(nil, &r); !errors.Is(err, journal.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples {
		f.Add(encode(f, r))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r journal.Record
		if journal.Decode(raw, &r) != nil {
			return
		}
		if got := encode(t, r); !bytes.Equal(got, raw) {
			t.Errorf("%x is not the encoding of what it decodes to, %x", raw, got)
		}
	})
}
