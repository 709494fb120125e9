package pubstore

// A serverGroup is the last group of servers that a store has met, and the highest incarnation of it that
// the store has seen (R10). If a store has the methods
//
//	Met() (cluster string, incarnation uint64)
//	Meet(cluster string, incarnation uint64) error
//
// then the client never goes back to servers that their group has left behind, not even after a
// restart. The three stores of this package have them. Meet is as durable as Logon.
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group returns the id and the highest incarnation of the last group of servers that the store has
// met.
func (b *storeBase) Group() (cluster string, incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.group.cluster, b.state.group.incarnation
}
