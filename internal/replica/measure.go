package replica

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A Measure is the state of the links to and from one peer, with measurements for a monitor.
// Counters begin with the process.
type Measure struct {
	Status
	LagBytes                 uint64        // of the journal: not sent yet, or needed for a peer that is away
	HoldUsed                 int64         // bytes of the journal that are kept for the peer while it is away
	SentBytes, ReceivedBytes uint64        // of frames
	SingleSince              time.Time     // when the peer was downgraded; zero: it is not
	SingleFor                time.Duration // time for which the peer was downgraded
	AckedAlone               uint64        // messages of this process that were settled without the peer
}

// volume are the measurements of the data on the connections of a peer.
type volume struct {
	sentBytes, receivedBytes atomic.Uint64 // of frames, after the handshake
	sentTo                   atomic.Uint64 // position of the journal up to which the peer was sent everything
}

// Hold returns the bytes of the journal that are kept for an absent destination.
func (l *Links) Hold() int64 { return l.o.HoldBytes }

// Measure returns the measure of each link, ordered by peer, and a count over all publishers.
func (l *Links) Measure() ([]Measure, *Census) {
	now, census, end := l.now(), l.census(), l.o.Journal.End()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Measure, 0, len(l.peers))
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		p := l.peers[name]
		m := Measure{
			Status:    l.statusLocked(p, now, census.unacknowledged[p]),
			SentBytes: p.sentBytes.Load(), ReceivedBytes: p.receivedBytes.Load(),
			SingleFor: p.singleFor, AckedAlone: p.ackedAlone,
		}
		if p.outbound() {
			l.measureDestinationLocked(p, now, end, &m)
		}
		all = append(all, m)
	}
	return all, census
}

func (l *Links) measureDestinationLocked(p *peer, now time.Duration, end journal.Position, m *Measure) {
	from := p.neededFrom
	if sentTo := journal.Position(p.sentTo.Load()); p.conn != nil && sentTo > 0 {
		from = sentTo
	}
	m.LagBytes = uint64(end - min(end, from))
	if p.conn == nil && !p.givenUp {
		m.HoldUsed = int64(m.LagBytes)
	}
	if p.ack.Downgraded() {
		m.SingleSince = p.degraded.begin
		m.SingleFor += l.degradedForLocked(p, now)
	}
}

// degradedForLocked returns how long the present downgrade of p has lasted.
func (l *Links) degradedForLocked(p *peer, now time.Duration) time.Duration {
	return max(0, l.began.Add(now).Round(0).Sub(p.degraded.begin))
}
