package bookmark

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc64"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// An Identity says which publisher a message is from (R10). The id stands in
// bookmarks and records. The check is kept once for each publisher and tells two
// of them apart that have the same id.
type Identity struct {
	ID    uint64
	Check Check
}

// A Check is 128 bits of a hash over what makes a publisher itself. The zero
// Check is one that is not known.
type Check [16]byte

// The domains of ids stand in their two highest bits, so that no client gets
// the id of another domain, whatever it calls itself. Domain 0 is reserved: no
// publisher has the id 0.
const (
	nameDomain = 1 + iota // client name of a client without our extensions
	lifeDomain            // life of a publish store
	runDomain             // what one start of an instance numbers for a client

	domainShift = 62
	domainMask  = 1<<domainShift - 1
)

// OfLife returns the identity of a life of a publish store. The life is a
// secret between its store and the servers: whoever knows it can publish as it.
func OfLife(life string) Identity {
	if mut.On(mut.R10LifeByCRC) {
		return Identity{nameHash(life), hash(lifeDomain, life).Check}
	}
	return hash(lifeDomain, life)
}

// OfRun returns the identity of the messages that an instance numbers itself,
// for a client in one run of its process.
func OfRun(client, instance string, run uint64) Identity {
	return hash(runDomain, fmt.Sprintf("%s\x00%s\x00%016x", client, instance, run))
}

// OfName returns the identity of a client that has no store we know of. The id
// is the protocol's hash of the name, of which others can be found.
func OfName(name string) Identity {
	return Identity{inDomain(nameDomain, nameHash(name)), hash(nameDomain, name).Check}
}

// IsLife reports whether an id is of a life of a publish store.
func IsLife(id uint64) bool { return id>>domainShift == lifeDomain }

// IsRun reports whether an id is of one start of an instance, and ends with it.
func IsRun(id uint64) bool { return id>>domainShift == runDomain }

// Mistaken reports whether two checks of one id are known and differ: they are
// of two publishers.
func Mistaken(a, b Check) bool {
	return a != b && a != Check{} && b != Check{} && !mut.On(mut.R10CheckIgnored)
}

// hash returns 62 bits of a hash as the id and another 128 as the check.
func hash(domain uint64, text string) Identity {
	sum := sha256.Sum256(fmt.Appendf(nil, "holdfast publisher %d\x00%s", domain, text))
	return Identity{inDomain(domain, binary.BigEndian.Uint64(sum[:])), Check(sum[8:24])}
}

func inDomain(domain, bits uint64) uint64 { return domain<<domainShift | bits&domainMask }

// nameTable is of the protocol's polynomial, bit-reversed.
var nameTable = crc64.MakeTable(0x95AC9329AC4BC9B5)

// nameHash is the protocol's hash of a client name: a CRC-64 without the final
// inversion, hence the outer one here.
func nameHash(name string) uint64 { return ^crc64.Checksum([]byte(name), nameTable) }
