package bookmark

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc64"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// An Identity identifies the publisher of a message (R10). Bookmarks and records contain
// the ID. The Check is kept once for each publisher, and distinguishes two publishers with
// the same ID.
type Identity struct {
	ID    uint64
	Check Check
}

// A Check is 128 bits of a hash over the life, name or run of a publisher. The zero Check
// means that the check is not known.
type Check [16]byte

// The domain of an id is in its two highest bits, so no client can get an id of another
// domain, whatever its name. Domain 0 is reserved: no publisher has the id 0.
const (
	nameDomain = 1 + iota // client name of a client without our extensions
	lifeDomain            // life of a publish store
	runDomain             // numbers that one run of an instance gives out for a client

	domainShift = 62
	domainMask  = 1<<domainShift - 1
)

// IdentityOfLife returns the identity of a life of a publish store. The life is a secret
// between its store and the servers: anyone who knows it can publish under it.
func IdentityOfLife(life string) Identity {
	if failpoint.On(failpoint.R10LifeByCRC) {
		return Identity{nameHash(life), hash(lifeDomain, life).Check}
	}
	return hash(lifeDomain, life)
}

// IdentityOfRun returns the identity of the messages that an instance numbers itself, for
// one client and one run of the instance.
func IdentityOfRun(client, instance string, run uint64) Identity {
	return hash(runDomain, fmt.Sprintf("%s\x00%s\x00%016x", client, instance, run))
}

// IdentityOfName returns the identity of a client without our extensions. The id is the
// protocol's hash of the name; other names with the same hash can be found.
func IdentityOfName(name string) Identity {
	return Identity{inDomain(nameDomain, nameHash(name)), hash(nameDomain, name).Check}
}

// IsLife reports whether an id belongs to a life of a publish store.
func IsLife(id uint64) bool { return id>>domainShift == lifeDomain }

// IsRun reports whether an id belongs to one run of an instance. Such a publisher ends with
// that run.
func IsRun(id uint64) bool { return id>>domainShift == runDomain }

// ChecksDiffer reports whether two checks of one id are both known and differ. If so, they
// belong to two publishers.
func ChecksDiffer(a, b Check) bool {
	return a != b && a != Check{} && b != Check{} && !failpoint.On(failpoint.R10CheckIgnored)
}

// hash returns 62 bits of a hash as the id, and another 128 bits as the check.
func hash(domain uint64, text string) Identity {
	sum := sha256.Sum256(fmt.Appendf(nil, "holdfast publisher %d\x00%s", domain, text))
	return Identity{inDomain(domain, binary.BigEndian.Uint64(sum[:])), Check(sum[8:24])}
}

func inDomain(domain, bits uint64) uint64 { return domain<<domainShift | bits&domainMask }

// nameTable is the table for the protocol's polynomial, bit-reversed.
var nameTable = crc64.MakeTable(0x95AC9329AC4BC9B5)

// nameHash is the protocol's hash of a client name: a CRC-64 without the final inversion.
// The ^ undoes the inversion of package crc64.
func nameHash(name string) uint64 { return ^crc64.Checksum([]byte(name), nameTable) }
