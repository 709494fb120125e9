package replica

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/golden"
)

// The frames of a link of each released version can be read.
func TestLinksOfReleases(t *testing.T) {
	golden.Each(t, func(t *testing.T, dir string) {
		seen := map[frameType]int{}
		records := 0
		for _, file := range []string{"link.out", "link.in"} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			fr := &frameReader{r: bytes.NewReader(b), limit: frameLimit}
			for {
				payload, err := fr.next()
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					break // b was killed
				}
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				frame, d := decode(payload)
				seen[frame]++
				if frame != frameRecords {
					if _, err := reencode(payload); err != nil {
						t.Errorf("%s: frame of type %d: %v", file, frame, err)
					}
					continue
				}
				raws, err := recordsOf(d)
				if err != nil {
					t.Fatalf("%s: records: %v", file, err)
				}
				for _, raw := range raws {
					var r journal.Record
					if err := parse(raw, &r); err != nil {
						t.Errorf("%s: record: %v", file, err)
					}
					records++
				}
			}
		}
		for _, frame := range []frameType{frameOpen, frameProof, frameHello, frameRecords, frameAck} {
			if seen[frame] == 0 {
				t.Errorf("no frame of type %d in %v", frame, seen)
			}
		}
		if records < 30 {
			t.Errorf("%d records", records)
		}
	})
}
