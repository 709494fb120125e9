package replica

import "github.com/holdfast-mq/holdfast/internal/journal"

func (e *encoder) closing(c journal.Closing) {
	e.uint(c.Clock)
	e.uint(c.Forgotten)
}

func (d *decoder) closing() journal.Closing {
	return journal.Closing{Clock: d.sequence(), Forgotten: d.sequence()}
}

// Closing implements [ledger.Log].
func (l *Ledger) Closing() journal.Closing { return l.journal.Closing() }

// inSync reports whether the peer's acks wait for this instance, or ours for it.
func (p *peer) inSync() bool { return p.dest.Sync || p.memory.sync }

// Agreed reports whether the instances that replicate synchronously to or from this
// one agree that a publisher is forgotten of whom they have nothing above have (R10).
func (l *Links) Agreed(publisher, have uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.inSync() && p.conn == nil {
			return false
		}
	}
	return true
}
