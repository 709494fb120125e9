package bookmark

import "hash/crc64"

// The protocol's polynomial, bit-reversed.
var hashTable = crc64.MakeTable(0x95AC9329AC4BC9B5)

// Hash returns the publisher id of a client name, or of the life of a publish
// store: the protocol's CRC-64, which has no final inversion, hence the outer
// one here. It isn't a cryptographic hash: names can be found that collide, or
// that give 0, which names no publisher.
func Hash(name string) uint64 {
	return ^crc64.Checksum([]byte(name), hashTable)
}
