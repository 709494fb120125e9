package replica

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// SyncStatus returns the state of the instance's sync destinations. It takes no lock.
func (l *Links) SyncStatus() syncstatus.Status { return syncstatus.Status(l.syncStatus.Load()) }

// deferLocked has unlockAndNotify do work that must be done without mu, such as writing to the log:
// its handler is not ours and may block.
func (l *Links) deferLocked(work func()) { l.deferred = append(l.deferred, work) }

// unlockAndNotify unlocks mu. It must be called where the sync status may have changed, or where
// deferred has work. It then does that work and reports the change.
func (l *Links) unlockAndNotify() {
	deferred, status := l.deferred, uint32(l.syncStatusLocked())
	l.deferred = nil
	changed := l.syncStatus.Swap(status) != status
	l.mu.Unlock()
	for _, f := range deferred {
		f()
	}
	if changed && l.o.OnSyncStatus != nil {
		l.o.OnSyncStatus()
	}
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
