package crc_test

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/crc"
)

// The sum of a number is the sum of its bytes.
func TestNumbers(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		sum, v := random.Uint32(), random.Uint64()>>random.IntN(64)
		b := binary.LittleEndian.AppendUint64(nil, v)
		for n, got := range map[int]uint32{
			1: crc.Number8(sum, uint8(v)),
			4: crc.Number32(sum, uint32(v)),
			8: crc.Number64(sum, v),
		} {
			if want := crc32.Update(sum, table, b[:n]); got != want {
				t.Fatalf("%d bytes of %#x after %#x: %#x, want %#x", n, v, sum, got, want)
			}
		}
		if got, want := crc.Bytes(sum, b), crc32.Update(sum, table, b); got != want {
			t.Fatalf("%#x, want %#x", got, want)
		}
	}
}

func BenchmarkNumbers(b *testing.B) {
	b.ReportAllocs()
	sum := uint32(0)
	for i := range b.N {
		sum = crc.Number32(crc.Number64(sum, uint64(i)), 7)
	}
	if sum == 0 {
		b.Log("zero, for once")
	}
}
