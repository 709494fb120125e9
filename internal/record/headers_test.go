package record_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/record"
)

// tooMany returns one header more than a message may have.
func tooMany() (encoded []byte) {
	for n := range record.MaxHeaderCount + 1 {
		encoded = record.AppendHeader(encoded, fmt.Sprint(n), "")
	}
	return encoded
}

// Headers that are malformed or above a limit are refused by the writer and the reader of a record.
func TestHeadersAreChecked(t *testing.T) {
	good := headers("key", "value")
	for name, bad := range map[string][]byte{
		"cut in the key":      good[:2],
		"cut in the length":   good[:5],
		"cut in the value":    good[:len(good)-1],
		"one byte more":       append(slices.Clone(good), 1),
		"no key":              headers("", "v"),
		"a key with a blank":  headers("a b", "v"),
		"a key of other text": headers("\u00e9", "v"),
		"a control character": headers("a\x7f", "v"),
		"a long key":          headers(strings.Repeat("k", record.MaxHeaderKey+1), "v"),
		"a key twice":         headers("k", "v", "l", "", "k", "w"),
		"too many":            tooMany(),
		"too long":            headers("k", strings.Repeat("v", record.MaxHeaders-3)),
	} {
		if record.CheckHeaders(bad) == nil {
			t.Errorf("%s: no error", name)
		}
		r := record.Record{Kind: record.Message, Publisher: 1, Sequence: 1, Topic: []byte("t"), Headers: bad}
		if _, err := record.Append(nil, &r); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%s: Append: %v", name, err)
		}
		r.Headers = headers("k", strings.Repeat("v", max(len(bad)-4, 0)))
		if len(bad) < 4 || len(bad) > record.MaxHeaders {
			continue
		}
		raw := encode(t, r)
		copy(raw[len(raw)-len(bad):], bad)
		var got record.Record
		if err := record.Parse(raw, &got); !errors.Is(err, record.ErrMalformed) {
			t.Errorf("%s: Parse: %v", name, err)
		}
		if _, ok := record.AsOrdinary(raw); ok {
			t.Errorf("%s: it counts as an ordinary message", name)
		}
	}
	for name, fine := range map[string][]byte{
		"none": nil, "one": good, "the longest key": headers(strings.Repeat("k", record.MaxHeaderKey), ""),
		"as many as possible": tooMany()[:len(tooMany())-5], "as long as possible": headers("k", strings.Repeat("v", record.MaxHeaders-4)),
	} {
		if err := record.CheckHeaders(fine); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeaders(t *testing.T) {
	encoded := headers("a", "1", "b", "", "c", "3")
	var got []string
	for k, v := range record.Headers(encoded) {
		got = append(got, string(k)+"="+string(v))
	}
	if want := "a=1 b= c=3"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
	for key, want := range map[string]string{"a": "1 true", "b": " true", "c": "3 true", "d": " false", "": " false"} {
		v, ok := record.Header(encoded, key)
		if got := fmt.Sprintf("%s %v", v, ok); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	with, without := encode(t, record.Record{Kind: record.Message, Sequence: 1, Topic: []byte("t"), Headers: encoded}), encode(t, record.Record{Kind: record.Message, Sequence: 1, Topic: []byte("t")})
	if !record.HasHeaders(with) || record.HasHeaders(without) || record.HasHeaders(encode(t, samples[4])) {
		t.Error("HasHeaders is wrong")
	}
}

// FuzzHeaders checks any bytes as headers. Valid ones are what AppendHeader makes of their parts.
func FuzzHeaders(f *testing.F) {
	f.Add(headers("k", "v", "empty", ""))
	f.Add(headers("k", "v", "k", "w"))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		valid := record.CheckHeaders(encoded) == nil
		var again []byte
		for k, v := range record.Headers(encoded) {
			again = record.AppendHeader(again, k, v)
			if got, ok := record.Header(encoded, string(k)); valid && (!ok || string(got) != string(v)) {
				t.Errorf("%q is %q, want %q", k, got, v)
			}
		}
		if valid && string(again) != string(encoded) {
			t.Errorf("%x becomes %x", encoded, again)
		}
	})
}
