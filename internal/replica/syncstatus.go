package replica

import (
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// SyncStatus returns how the instance stands to its sync destinations. It takes no lock.
func (l *Links) SyncStatus() syncstatus.Status { return syncstatus.Status(l.syncStatus.Load()) }

// updateSyncLocked brings the sync status up to date and reports whether it has
// changed; then the caller calls syncChanged without the lock.
func (l *Links) updateSyncLocked() (changed bool) {
	s := uint32(l.syncStatusLocked())
	return l.syncStatus.Swap(s) != s
}

func (l *Links) syncStatusLocked() syncstatus.Status {
	switch {
	case l.Lone():
		return syncstatus.Alone
	case l.anyOneWayLocked():
		return syncstatus.OneWay
	case !l.anySync():
		return syncstatus.Async
	case l.outcome != CaughtUp && !mut.On(mut.R6NotSaid):
		return syncstatus.CatchingUp
	case mut.On(mut.R5SaidInSync):
		return syncstatus.InSync
	case l.marks.Single():
		return syncstatus.Single
	}
	for _, p := range l.dests {
		if p.dest.Sync && p.stateLocked() != "sync" {
			return syncstatus.Apart
		}
	}
	return syncstatus.InSync
}

func (l *Links) anySync() bool {
	for _, p := range l.dests {
		if p.dest.Sync {
			return true
		}
	}
	return false
}

// syncChanged calls OnSyncStatus if the sync status has changed.
func (l *Links) syncChanged(changed bool) {
	if changed && l.o.OnSyncStatus != nil {
		l.o.OnSyncStatus()
	}
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
