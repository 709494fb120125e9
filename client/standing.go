package client

import "github.com/holdfast-mq/holdfast/internal/syncstatus"

// A SyncState says how a server stands to its failover equivalents: the
// servers that it replicates to synchronously, whose disks acks wait for.
type SyncState = syncstatus.Status

const (
	// SyncUnknown: it does not say; it lacks the extension, or our extensions.
	SyncUnknown = syncstatus.Unknown
	// SyncOK: each of them has everything and counts for acks.
	SyncOK = syncstatus.InSync
	// SyncApart: one is away, or behind, and acks wait for it. What was
	// acknowledged is on all of them.
	SyncApart = syncstatus.Apart
	// SyncSingle: one is left out, so that acks are of one disk only (R5). It
	// lacks what was acknowledged since.
	SyncSingle = syncstatus.Single
	// SyncCatchingUp: the server itself lacks, or may lack, what they have (R6).
	SyncCatchingUp = syncstatus.CatchingUp
	// SyncAsync: it has none. Acks are of one disk for ever, and publish
	// stores keep everything.
	SyncAsync = syncstatus.Async
	// SyncOneWay: a server replicates to it synchronously, and it does not replicate
	// back. Messages published on it never get there.
	SyncOneWay = syncstatus.OneWay
	// SyncAlone: it does not replicate at all. Its own disk is all there is.
	SyncAlone = syncstatus.Alone
	// SyncStopping: it is about to close the connection.
	SyncStopping = syncstatus.Stopping
)
