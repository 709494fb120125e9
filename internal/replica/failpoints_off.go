//go:build !failpoint

package replica

func (l *Links) camePlanted(publisher, sequence uint64) {}

func (l *Links) foreignPlanted(publisher, sequence uint64) bool { return false }

func (c *conn) ackPlanted() {}
