package pubstore

// A serverGroup is the last group of servers that a store has met, and the highest incarnation of it that
// the store has seen (R10).
type serverGroup struct {
	cluster     string
	incarnation uint64
}

// Group implements [Store].
func (d *storeBase) Group() (cluster string, incarnation uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.group.cluster, d.state.group.incarnation
}
