// Package forge finds names with a wanted hash of the protocol, as a client can
// that wants to be taken for another one.
package forge

import (
	"hash/crc64"
	"strings"
)

const choices = 96 // characters of which each can be one of two

// Name returns a name that begins with prefix and has the hash of the protocol
// that name has. The hash is linear: exchanging one character for another
// changes it in the same way whatever stands elsewhere.
func Name(prefix, name string) string {
	plain := []byte(prefix + strings.Repeat("b", choices))
	missing := hash([]byte(name)) ^ hash(plain)
	var basis [64]change // by the highest bit that it changes
	for n := range choices {
		at := len(prefix) + n
		plain[at] ^= 1
		c := change{bits: hash(plain) ^ hash([]byte(prefix+strings.Repeat("b", choices)))}
		plain[at] ^= 1
		c.flip(n)
		c.enter(&basis)
	}
	solution := change{bits: missing}
	solution.reduce(&basis)
	for n := range choices {
		if solution.by[n/64]>>(n%64)&1 != 0 {
			plain[len(prefix)+n] ^= 1
		}
	}
	return string(plain)
}

// hash is the protocol's of a client name.
func hash(name []byte) uint64 { return ^crc64.Checksum(name, table) }

var table = crc64.MakeTable(0x95AC9329AC4BC9B5)

// A change says which bits of the hash change if some characters do.
type change struct {
	bits uint64
	by   [2]uint64 // the characters
}

func (c *change) flip(n int) { c.by[n/64] ^= 1 << (n % 64) }

// reduce removes from c the bits that the basis can undo, and returns the highest
// remaining bit, -1 for none.
func (c *change) reduce(basis *[64]change) int {
	for bit := 63; bit >= 0; bit-- {
		if c.bits>>bit&1 == 0 {
			continue
		}
		b := basis[bit]
		if b.bits == 0 {
			return bit
		}
		c.bits ^= b.bits
		c.by[0] ^= b.by[0]
		c.by[1] ^= b.by[1]
	}
	return -1
}

func (c *change) enter(basis *[64]change) {
	if bit := c.reduce(basis); bit >= 0 {
		basis[bit] = *c
	}
}
