package replica

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// SyncStatus returns the state of the instance's sync destinations. It takes no lock.
func (l *Links) SyncStatus() syncstatus.Status { return syncstatus.Status(l.syncStatus.Load()) }

// deferLocked has unlockAndNotify do work that must be done without mu, such as writing to the log:
// its handler is not ours and may block. Work is done in the order in which it was deferred, so that
// the log, the events and the journaled intervals end with the state that holds.
func (l *Links) deferLocked(work func()) { l.deferred = append(l.deferred, work) }

// emitLocked defers the report of an event.
func (l *Links) emitLocked(kind, peer, text string) {
	if l.o.OnEvent != nil {
		l.deferLocked(func() { l.o.OnEvent(Event{kind, peer, text}) })
	}
}

// unlockAndNotify unlocks mu. It must be called where the sync status may have changed, or where
// deferred has work. It then does that work, unless another goroutine is doing earlier work and will
// do this as well, and reports the change.
func (l *Links) unlockAndNotify() {
	status := uint32(l.syncStatusLocked())
	changed := l.syncStatus.Swap(status) != status
	l.workOffLocked()
	l.mu.Unlock()
	if changed && l.o.OnSyncStatus != nil {
		l.o.OnSyncStatus()
	}
}

// workOffLocked does the deferred work, one goroutine at a time. It unlocks mu meanwhile.
func (l *Links) workOffLocked() {
	if l.workingOff {
		return
	}
	l.workingOff = true
	for len(l.deferred) > 0 {
		deferred := l.deferred
		l.deferred = nil
		l.mu.Unlock()
		for _, work := range deferred {
			work()
		}
		l.mu.Lock()
	}
	l.workingOff = false
}

func (l *Links) syncStatusLocked() syncstatus.Status {
	switch {
	case l.Lone():
		return syncstatus.Alone
	case l.anyOneWayLocked():
		return syncstatus.OneWay
	case l.watermarks.syncs == 0:
		return syncstatus.Async
	case l.outcome != CaughtUp && !failpoint.On(failpoint.R6OpenNotReported):
		return syncstatus.CatchingUp
	case failpoint.On(failpoint.R5ClaimsInSync):
		return syncstatus.InSync
	case l.watermarks.Single():
		return syncstatus.Single
	}
	for _, p := range l.dests {
		if p.dest.Sync && p.stateLocked() != "sync" {
			return syncstatus.Apart
		}
	}
	return syncstatus.InSync
}

// SyncPeers returns the names of the sync destinations, as configured.
func (l *Links) SyncPeers() []string {
	var names []string
	for _, p := range l.dests {
		if p.dest.Sync {
			names = append(names, p.name)
		}
	}
	return names
}
