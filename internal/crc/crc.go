// Package crc computes CRC-32C sums over numbers and bytes in steps. Each step continues
// the sum of the step before, and the result is the sum of all the bytes together.
package crc

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shifted[n][b] is the contribution of byte b to a sum when n zero bytes follow it.
var shifted = func() (t [4][256]uint32) {
	t[0] = *castagnoli
	for n := 1; n < len(t); n++ {
		for b, sum := range t[n-1] {
			t[n][b] = castagnoli[byte(sum)] ^ sum>>8
		}
	}
	return t
}()

// Bytes continues sum with b.
func Bytes(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// Number8, Number32 and Number64 continue sum with the bytes of v in little-endian order,
// without writing them to memory.
func Number8(sum uint32, v uint8) uint32 {
	sum = ^sum
	return ^(castagnoli[byte(sum)^v] ^ sum>>8)
}

func Number32(sum, v uint32) uint32 {
	x := ^sum ^ v
	return ^(shifted[3][byte(x)] ^ shifted[2][byte(x>>8)] ^ shifted[1][byte(x>>16)] ^ shifted[0][byte(x>>24)])
}

func Number64(sum uint32, v uint64) uint32 {
	return Number32(Number32(sum, uint32(v)), uint32(v>>32))
}
