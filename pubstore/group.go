package pubstore

// A serverGroup is the group of servers that the client logged on to last, and the highest
// incarnation of it that the client has seen (R10). If a store has the methods
//
//	Group() (cluster string, incarnation uint64)
//	SetGroup(cluster string, incarnation uint64) error
//
// then the client never goes back to servers of an older incarnation, not even after a restart. The
// three stores of this package have them. SetGroup is as durable as Logon.
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group returns the cluster id and the incarnation that SetGroup stored last.
func (b *storeBase) Group() (cluster string, incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.group.cluster, b.state.group.incarnation
}
