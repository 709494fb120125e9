package main

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// readLines returns the lines and the error of a lineReader for the part of a text after
// an extent.
func readLines(t *rapid.T, text []byte, whole bool, from extent) (lines []line, err error) {
	f := newLineReader(&input{name: "in", r: iotest.OneByteReader(bytes.NewReader(text))}, whole, 1<<20, 0)
	go f.run(t.Context(), from)
	for batch := range f.batches {
		lines = append(lines, batch...)
	}
	return lines, f.err
}

// The next run continues with exactly the remaining lines, wherever a run stopped. It
// detects a change of the text before that place.
func TestResumeAfterAnyLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]byte("ab\n\r\x00\xff")), 0, 40).Draw(t, "text")
		whole := rapid.Bool().Draw(t, "whole")
		all, err := readLines(t, text, whole, extent{})
		if err != io.EOF {
			t.Fatal(err)
		}
		var again []byte
		for i, l := range all {
			again = append(again, l.body...)
			if !l.at.Open {
				again = append(again, '\n')
			}
			if l.at.Lines != int64(i+1) || l.at.Bytes != int64(len(again)) {
				t.Fatalf("line %d is said to be %+v, after %d bytes", i+1, l.at, len(again))
			}
		}
		if !bytes.Equal(again, text) {
			t.Fatalf("%q became %q", text, again)
		}
		if len(all) == 0 {
			return
		}
		k := rapid.IntRange(1, len(all)).Draw(t, "lines before")
		from := all[k-1].at
		rest, err := readLines(t, text, whole, from)
		if err != io.EOF || len(rest) != len(all)-k {
			t.Fatalf("after line %d: %d lines of %d, %v", k, len(rest), len(all), err)
		}
		for i, l := range rest {
			if !bytes.Equal(l.body, all[k+i].body) || l.at != all[k+i].at {
				t.Fatalf("line %d: %+v, was %+v", k+i+1, l, all[k+i])
			}
		}
		other := bytes.Clone(text)
		other[rapid.IntRange(0, int(from.Bytes)-1).Draw(t, "changed")] ^= 1
		if _, err := readLines(t, other, whole, from); err == io.EOF || err == nil {
			t.Fatalf("%q was accepted as %q", other, text)
		}
	})
}
