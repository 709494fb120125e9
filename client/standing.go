package client

import "github.com/holdfast-mq/holdfast/internal/clientcore"

// A SyncState says how a server stands to its failover equivalents: the
// servers that it replicates to synchronously, whose disks acks wait for.
type SyncState int

const (
	// SyncUnknown: it does not say; it lacks the extension, or our extensions.
	SyncUnknown = SyncState(clientcore.SyncUnknown)
	// SyncOK: each of them has everything and counts for acks.
	SyncOK = SyncState(clientcore.SyncOK)
	// SyncApart: one is away, or behind, and acks wait for it. What was
	// acknowledged is on all of them.
	SyncApart = SyncState(clientcore.SyncApart)
	// SyncSingle: one is left out, so that acks are of one disk only (R5). It
	// lacks what was acknowledged since.
	SyncSingle = SyncState(clientcore.SyncSingle)
	// SyncCatchingUp: the server itself lacks, or may lack, what they have (R6).
	SyncCatchingUp = SyncState(clientcore.SyncCatchingUp)
	// SyncAsync: it has none. Acks are of one disk for ever, and publish
	// stores keep everything.
	SyncAsync = SyncState(clientcore.SyncAsync)
	// SyncAlone: it does not replicate at all. Its own disk is all there is.
	SyncAlone = SyncState(clientcore.SyncAlone)
	// SyncStopping: it is about to close the connection.
	SyncStopping = SyncState(clientcore.SyncStopping)
)

func (s SyncState) String() string { return clientcore.Sync(s).String() }

// lags reports whether a server is worse than one of which nothing is known.
func (i *ServerInfo) lags() bool { return clientcore.Sync(i.Sync).Lags() }

// stands notes what a server has said of itself last, or a peer of it.
func (i *ServerInfo) stands(s *clientcore.Server) {
	i.Sync, i.CatchingUp = SyncState(s.Sync), s.CatchingUp
}
