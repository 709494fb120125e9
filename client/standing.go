package client

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A SyncState says how a server stands to its failover equivalents: the
// servers that it replicates to synchronously, whose disks acks wait for.
type SyncState int

const (
	// SyncUnknown: it does not say; it lacks the extension, or our extensions.
	SyncUnknown SyncState = iota
	// SyncOK: each of them has everything and counts for acks.
	SyncOK
	// SyncApart: one is away, or behind, and acks wait for it. What was
	// acknowledged is on all of them.
	SyncApart
	// SyncSingle: one is left out, so that acks are of one disk only (R5). It
	// lacks what was acknowledged since.
	SyncSingle
	// SyncCatchingUp: the server itself lacks, or may lack, what they have (R6).
	SyncCatchingUp
	// SyncAsync: it has none. Acks are of one disk for ever, and publish
	// stores keep everything.
	SyncAsync
	// SyncAlone: it does not replicate at all. Its own disk is all there is.
	SyncAlone
	// SyncStopping: it is about to close the connection.
	SyncStopping
)

// syncTexts are the states as on the wire.
var syncTexts = [...]string{
	SyncUnknown: "unknown", SyncOK: wire.SyncInSync, SyncApart: wire.SyncApart, SyncSingle: wire.SyncSingle,
	SyncCatchingUp: wire.SyncCatchingUp, SyncAsync: wire.SyncAsync, SyncAlone: wire.SyncAlone, SyncStopping: wire.SyncStopping,
}

func (s SyncState) String() string { return syncTexts[s] }

// parseSync returns SyncUnknown for what a later version may say.
func parseSync(text []byte) SyncState {
	return SyncState(max(0, slices.Index(syncTexts[:], string(text))))
}

// lags reports whether a server is worse than one of which nothing is known:
// it is asynchronous, or lacks what others have.
func (i *ServerInfo) lags() bool { return i.Sync == SyncAsync || i.Sync == SyncCatchingUp }

// core is what the core has of a server.
func (i *ServerInfo) core() clientcore.Server {
	return clientcore.Server{Address: i.Server, Instance: i.Instance, Peers: i.Peers, Plain: !i.Extended}
}

// known is what servers have said last, by the URIs that the chooser gives.
type known map[string]ServerInfo

// says takes in what a server says. It counts for its peers, too: what one
// said before it was left is older. The peers of one that is in sync have
// everything; those of one whose acks are single do not, one of them at least.
func (k known) says(server string, info ServerInfo) {
	k[server] = info
	for other, i := range k {
		if other == server || i.Instance == "" || i.Sync == SyncAsync || !slices.Contains(info.Peers, i.Instance) {
			continue
		}
		switch info.Sync {
		case SyncOK:
			i.Sync, i.CatchingUp = SyncOK, false
		case SyncSingle:
			i.Sync = SyncCatchingUp
		}
		k[other] = i
	}
}

// better returns those of servers that a client on at may leave it for: not
// known to lag, and with a way for its bookmark subscriptions, which ways says.
func (k known) better(servers []string, ways func(to *ServerInfo) bool) []string {
	return slices.DeleteFunc(slices.Clone(servers), func(server string) bool {
		to := k[server]
		return to.lags() || !ways(&to)
	})
}
