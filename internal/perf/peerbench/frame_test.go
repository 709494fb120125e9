//go:build linux

package main

import (
	"errors"
	"testing"
)

func TestScan(t *testing.T) {
	const size = 256
	var b []byte
	for n := range uint64(3) {
		b = appendFrame(b, body(n, size))
	}
	one := frameHead + size
	for cut := range len(b) + 1 {
		length, frames, err := scan(b[:cut])
		if want := cut / one; err != nil || frames != want || length != want*one {
			t.Fatalf("scan of %d bytes = %d bytes, %d frames, %v; want %d frames", cut, length, frames, err, want)
		}
	}
	b[one+frameHead+17] ^= 1
	if _, frames, err := scan(b); frames != 1 || !errors.Is(err, errFrame) {
		t.Errorf("scan of a damaged second frame = %d frames, %v", frames, err)
	}
}

func TestBody(t *testing.T) {
	for _, n := range []uint64{0, 7, 1 << 40} {
		b := body(n, minBody)
		if got, err := bodyNumber(b); err != nil || got != n || len(b) != minBody {
			t.Errorf("number(%s) = %d, %v; %d bytes", b, got, err, len(b))
		}
	}
}
