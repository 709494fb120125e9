package server

import (
	"net"
	"net/netip"
	"time"

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
	// ConnectionsPerUser is the largest number of sessions of one user. 0: no limit. This and the
	// following limits hold if there are users; a user may have others of its own. Default 0.
	ConnectionsPerUser Count `yaml:"connections_per_user"`
	// PublishersPerUser is the largest number of publishers that belong to one user. A logon that
	// would make another one is refused. Default 100,000.
	PublishersPerUser Count `yaml:"publishers_per_user"`
	// PublisherRate is the largest number of new publishers of one user per second. Ten seconds of
	// them may come at once. Default 10.
	PublisherRate Count `yaml:"publisher_rate"`
	// BytesPerSecond bounds the commands of one user, over all its sessions. A session that sends
	// more is read more slowly. A second of them may come at once. 0: no limit. Default 0.
	BytesPerSecond Size `yaml:"bytes_per_second"`
	// Logon is the time from a connection to its accepted logon, with the TLS handshake and all
	// challenges. Default 3s.
	Logon Duration `yaml:"logon"`
	// Frame is the time to receive a frame that has begun. Each 64 KiB of it give a second more.
	// Default 30s.
	Frame Duration `yaml:"frame"`
	// Idle is how long a client may send nothing if it has requested no heartbeats. With heartbeats
	// twice their interval counts. 0: no limit, because a subscriber without heartbeats sends
	// nothing. Default 0.
	Idle Duration `yaml:"idle"`
}

func defaultLimits() Limits {
	return Limits{
		Subscriptions: 1000, Memory: 1 << 30, Topic: 256, Unauthenticated: 512, PerAddress: 4096,
		PublishersPerUser: 100_000, PublisherRate: 10, Logon: Duration(3 * time.Second), Frame: Duration(30 * time.Second),
	}
}

func (l Limits) withDefaults() Limits {
	d := defaultLimits()
	orDefault(&l.Subscriptions, d.Subscriptions)
	orDefault(&l.Memory, d.Memory)
	orDefault(&l.Topic, d.Topic)
	orDefault(&l.Unauthenticated, d.Unauthenticated)
	orDefault(&l.PerAddress, d.PerAddress)
	orDefault(&l.PublishersPerUser, d.PublishersPerUser)
	orDefault(&l.PublisherRate, d.PublisherRate)
	orDefault(&l.Logon, d.Logon)
	orDefault(&l.Frame, d.Frame)
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
	checkRange(k, "limits.connections_per_user", l.ConnectionsPerUser, 0, 1<<20)
	checkRange(k, "limits.publishers_per_user", l.PublishersPerUser, 1, 1<<30)
	checkRange(k, "limits.publisher_rate", l.PublisherRate, 1, 1<<20)
	checkRange(k, "limits.bytes_per_second", l.BytesPerSecond, 0, 1<<40)
	checkRange(k, "limits.logon", l.Logon, Duration(100*time.Millisecond), Duration(5*time.Minute))
	checkRange(k, "limits.frame", l.Frame, Duration(time.Second), Duration(time.Hour))
	checkRange(k, "limits.idle", l.Idle, 0, Duration(24*time.Hour))
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
