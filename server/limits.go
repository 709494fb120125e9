package server

import (
	"net"
	"net/netip"

	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// Limits bound what one client can cost. A session that would hold more memory than it
// may is ended; a command that would exceed another limit is refused.
type Limits struct {
	// Subscriptions is how many one session may have. Default 1000.
	Subscriptions Count `yaml:"subscriptions"`
	// SessionMemory is how much one session may hold: input, output, ids, places, acks
	// that wait. It may hold a place of all publishers beside that. Default twice
	// MaxMessage and 8 MiB.
	SessionMemory Size `yaml:"session_memory"`
	// Memory is how much all sessions may hold. Beyond it those end that want more and
	// hold more than 256 KiB. Default 1 GiB.
	Memory Size `yaml:"memory"`
	// Topic is the longest topic. It must be the same on all instances of a group.
	// Default 256 bytes.
	Topic Size `yaml:"topic"`
	// Unauthenticated is how many connections there may be that have sent no logon. Of more,
	// one of those from the busiest address makes room. Default 512.
	Unauthenticated Count `yaml:"unauthenticated"`
	// PerAddress is how many connections may come from one address. Default 4096.
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

// core returns the limits as sessions know them.
func (l Limits) core() servercore.Limits {
	return servercore.Limits{
		Subscriptions: int(l.Subscriptions), SessionMemory: int(l.SessionMemory), Memory: int(l.Memory), Topic: int(l.Topic),
		Strangers: int(l.Unauthenticated), PerAddress: int(l.PerAddress),
	}
}

func (k *checker) limits(l Limits) {
	between(k, "limits.subscriptions", l.Subscriptions, 1, 1<<20)
	if l.SessionMemory != 0 {
		between(k, "limits.session_memory", l.SessionMemory, 4<<20, 1<<40)
	}
	between(k, "limits.memory", l.Memory, 1<<20, 1<<40)
	between(k, "limits.topic", l.Topic, 1, 16<<10)
	between(k, "limits.unauthenticated", l.Unauthenticated, 1, 1<<20)
	between(k, "limits.per_address", l.PerAddress, 1, 1<<20)
}

// addressOf returns the address that a connection comes from, of IPv6 the network that
// one site has.
func addressOf(from net.Addr) string {
	text := from.String()
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return text
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits) // of either kind there are as many bits
	return network.String()
}
