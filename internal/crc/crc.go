// Package crc sums numbers and bytes by CRC-32C, in steps that continue
// one another: what they return is what one sum of all the bytes would be.
package crc

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shifted has, at [n][b], what byte b with n zero bytes behind it adds to a sum.
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

// Number8, Number32 and Number64 continue sum with the bytes of v in little
// endian order, which need not be anywhere for that.
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
