package journal

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// Decoding and encoding the bytes in testdata/formats.txt gives the same bytes.
func TestFormats(t *testing.T) {
	f, err := os.Open("testdata/formats.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		kind, text, _ := strings.Cut(s.Text(), " ")
		want, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := reencode(kind, want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s %x became %x, %v", kind, want, got, err)
		}
	}
	if lines != 18 {
		t.Errorf("%d lines", lines)
	}
}

// reencode decodes bytes and encodes the result.
func reencode(kind string, b []byte) ([]byte, error) {
	switch kind {
	case "head":
		tb := newTable(nil)
		err := tb.RecoverHead(b)
		return tb.Head(), err
	case "summary":
		s, err := decodeSummary(b)
		return appendSummary(nil, s), err
	}
	x, err := decodeChange(b)
	return x.payload(), err
}
