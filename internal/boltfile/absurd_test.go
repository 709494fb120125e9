package boltfile

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// An absurd length in a page does not allocate memory before the page is checked.
func TestAbsurdLengths(t *testing.T) {
	const pageSize, pages = 4096, 1 << 17
	page := func(id uint64, flags, count uint16, overflow uint32) []byte {
		b := binary.NativeEndian.AppendUint64(nil, id)
		b = binary.NativeEndian.AppendUint16(b, flags)
		b = binary.NativeEndian.AppendUint16(b, count)
		return binary.NativeEndian.AppendUint32(b, overflow)
	}
	numbers := func(b []byte, n ...uint32) []byte {
		for _, v := range n {
			b = binary.NativeEndian.AppendUint32(b, v)
		}
		return b
	}
	const half = pages * pageSize / 2
	for name, second := range map[string][]byte{
		"free pages":   binary.NativeEndian.AppendUint64(page(2, flagFreelist, countOverflow, pages/2), half/8),
		"a leaf's key": numbers(page(2, flagLeaf, 1, pages/2), 0, 64, half, 0),
		"a bucket":     numbers(page(2, flagLeaf, 1, pages/2), flagBucket, 64, 1, half),
	} {
		meta := binary.NativeEndian.AppendUint32(page(0, 4, 0, 0), boltMagic)
		meta = numbers(meta, boltVersion, pageSize, 0)
		freelist := uint64(noFreelist)
		if name == "free pages" {
			freelist = 2
		}
		for _, v := range []uint64{2, 0, freelist, pages, 1} { // root and its sequence
			meta = binary.NativeEndian.AppendUint64(meta, v)
		}
		sum := fnv.New64a()
		sum.Write(meta[pageHeader:])
		meta = binary.NativeEndian.AppendUint64(meta, sum.Sum64())
		f, err := os.Create(filepath.Join(t.TempDir(), "db"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for at, b := range map[int64][]byte{0: meta, 2 * pageSize: second} {
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Truncate(pages * pageSize); err != nil {
			t.Fatal(err)
		}
		heap.Bounded(t, 0, 1, 8<<20, func() {
			_, err := checkPages(f, pages*pageSize, pageSize)
			if err == nil {
				t.Errorf("%s: no error", name)
			}
			t.Logf("%s: %v", name, err)
		})
	}
}
