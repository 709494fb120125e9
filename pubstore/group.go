package pubstore

// A serverGroup is the group of servers that the client logged on to last, and the highest
// incarnation of it that the client has seen (R10).
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group implements Store.
func (b *storeBase) Group() (cluster string, incarnation uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.group.cluster, b.state.group.incarnation
}
