package pubstore

// A met is the group of servers that a store has met last, and the highest
// incarnation of it that it has seen (R10). A store that has
//
//	Met() (cluster string, incarnation uint64)
//	Meet(cluster string, incarnation uint64) error
//
// as the three here have, is kept from going back to servers that their group has
// left behind, also over a restart. Meet is durable like Logon.
type met struct {
	cluster     string
	incarnation uint64
}

// Met returns the group of servers that the store has met last.
func (d *desk) Met() (cluster string, incarnation uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.met.cluster, d.ledger.met.incarnation
}
