//go:build !mut

package replica

import "github.com/holdfast-mq/holdfast/internal/journal"

func (l *Links) camePlanted(*journal.Record) {}

func (l *Links) foreignPlanted(*journal.Record) bool { return false }

func (c *conn) ackPlanted() {}
