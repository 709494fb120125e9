//go:build !failpoint

package replica

func (l *Links) receivedPlanted(publisher, sequence uint64) {}

func (l *Links) leftOutPlanted(publisher, sequence uint64) bool { return false }

func (c *conn) ackPlanted() {}
