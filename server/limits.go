package server

import (
	"net"
	"net/netip"

	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// Limits bound the cost of one client. A session that would exceed its memory is ended. A command
// that would exceed Subscriptions or Topic is refused. A connection beyond Unauthenticated or
// PerAddress is closed.
type Limits struct {
	// Subscriptions is the largest number of subscriptions of a session. Default 1000.
	Subscriptions Count `yaml:"subscriptions"`
	// SessionMemory is the largest memory of a session, in bytes: input, output, ids, places and
	// waiting acks. One place of all publishers is allowed in addition. Default: twice MaxMessage,
	// plus 8 MiB.
	SessionMemory Size `yaml:"session_memory"`
	// Memory is the largest memory of all sessions together, in bytes. Beyond it, sessions that
	// want more and already have more than 256 KiB are ended. Default 1 GiB.
	Memory Size `yaml:"memory"`
	// Topic is the length of the longest topic, in bytes. It must be the same on all instances of a
	// group. Default 256.
	Topic Size `yaml:"topic"`
	// Unauthenticated is the largest number of connections that have not logged on. One more closes
	// a connection from the busiest address. Default 512.
	Unauthenticated Count `yaml:"unauthenticated"`
	// PerAddress is the largest number of connections from one IPv4 address or one IPv6 /64
	// network. The instance also closes connections of one address beyond three quarters of all
	// that its file descriptors allow. Default 4096.
	PerAddress Count `yaml:"per_address"`
}

func defaultLimits() Limits {
	return Limits{Subscriptions: 1000, Memory: 1 << 30, Topic: 256, Unauthenticated: 512, PerAddress: 4096}
}

func (l Limits) withDefaults() Limits {
	d := defaultLimits()
	orDefault(&l.Subscriptions, d.Subscriptions)
	orDefault(&l.Memory, d.Memory)
	orDefault(&l.Topic, d.Topic)
	orDefault(&l.Unauthenticated, d.Unauthenticated)
	orDefault(&l.PerAddress, d.PerAddress)
	return l
}

// core converts the limits to the form of package servercore.
func (l Limits) core() servercore.Limits {
	return servercore.Limits{
		Subscriptions: int(l.Subscriptions), SessionMemory: int(l.SessionMemory), Memory: int(l.Memory), Topic: int(l.Topic),
		Unauthenticated: int(l.Unauthenticated), PerAddress: int(l.PerAddress),
	}
}

func (k *configChecker) limits(l Limits) {
	checkRange(k, "limits.subscriptions", l.Subscriptions, 1, 1<<20)
	if l.SessionMemory != 0 {
		checkRange(k, "limits.session_memory", l.SessionMemory, 4<<20, 1<<40)
	}
	checkRange(k, "limits.memory", l.Memory, 1<<20, 1<<40)
	checkRange(k, "limits.topic", l.Topic, 1, 16<<10)
	checkRange(k, "limits.unauthenticated", l.Unauthenticated, 1, 1<<20)
	checkRange(k, "limits.per_address", l.PerAddress, 1, 1<<20)
}

// sourceNetwork returns the network that a connection counts for: its IPv4 address, or the /64
// network of its IPv6 address, since one site has a whole network.
func sourceNetwork(from net.Addr) string {
	text := from.String()
	addrPort, err := netip.ParseAddrPort(text)
	if err != nil {
		if host, _, err := net.SplitHostPort(text); err == nil {
			return host
		}
		return text
	}
	ip, bits := addrPort.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // both lengths are valid, so no error
	return network.String()
}
