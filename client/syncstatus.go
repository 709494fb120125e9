package client

import "github.com/holdfast-mq/holdfast/internal/syncstatus"

// A SyncStatus is the state of a server's replication to its peers. Its peers are the servers that
// it replicates to synchronously: acks wait for their disks, and a client can continue there.
// String returns sync, apart, single, catching_up, async, one_way, alone, stopping or unknown.
type SyncStatus = syncstatus.Status

const (
	// SyncUnknown: the server reports no state, because it lacks our extensions, or one that this
	// version does not know.
	SyncUnknown = syncstatus.Unknown
	// SyncOK: every peer has everything and counts for acks.
	SyncOK = syncstatus.InSync
	// SyncApart: a peer is away or behind, and acks wait for it. All peers have the acknowledged
	// messages.
	SyncApart = syncstatus.Apart
	// SyncSingle: a peer is downgraded, so acks cover one disk only (R5). That peer lacks the
	// messages that were acknowledged since.
	SyncSingle = syncstatus.Single
	// SyncCatchingUp: the server itself lacks, or may lack, messages of its peers (R6).
	SyncCatchingUp = syncstatus.CatchingUp
	// SyncAsync: the server has no synchronous peer; it replicates only asynchronously. Acks always
	// cover one disk only, and publish stores keep all messages.
	SyncAsync = syncstatus.Async
	// SyncOneWay: a server replicates to this one synchronously, but this one does not replicate
	// back. Messages published on this one never get there.
	SyncOneWay = syncstatus.OneWay
	// SyncAlone: the server does not replicate at all. Messages are on its own disk only.
	SyncAlone = syncstatus.Alone
	// SyncStopping: the server is about to close the connection.
	SyncStopping = syncstatus.Stopping
)
