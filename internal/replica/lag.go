package replica

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A Lag is how far the two directions of a link are behind at one moment. It takes little time to
// find out, however many publishers there are.
type Lag struct {
	Peer      string
	Connected bool
	Single    bool          // acks do not wait for the peer, although it is a sync destination
	Wait      time.Duration // how long the oldest message waits for the peer
	ToSend    int64         // records of the journal that the peer has not been sent, about; -1: not known
	ToCome    int64         // records of the peer that have not been sent here, as it last said; -1: not known
}

// Lags returns the lag of each link, ordered by peer. There are always the same peers.
func (l *Links) Lags() []Lag {
	now := l.now()
	lags := make([]Lag, 0, len(l.peers))
	absent := make(map[int]journal.Position)
	l.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		p := l.peers[name]
		lag := Lag{Peer: name, Connected: p.conn != nil, ToSend: -1, ToCome: -1}
		if p.outbound() {
			lag.Wait, lag.Single = l.oldestWaitLocked(p, now), p.dest.Sync && p.ack.Downgraded()
		}
		switch {
		case p.conn == nil && p.outbound():
			absent[len(lags)] = p.neededFrom
		case p.conn != nil && p.outbound():
			lag.ToSend = int64(p.conn.sending.headway().Remaining)
		}
		if p.conn != nil && p.role.inbound {
			lag.ToCome = int64(p.conn.receiving.headway().Remaining)
		}
		lags = append(lags, lag)
	}
	l.mu.Unlock()
	for i, from := range absent {
		lags[i].ToSend = int64(l.o.Journal.Lag(from).Records)
	}
	return lags
}
