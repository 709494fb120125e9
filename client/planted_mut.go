//go:build mut

package client

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// waits has the reader wait for room in a queue.
func waits(cn *conn) bool {
	if !mut.On(mut.R12ReaderWaits) {
		return false
	}
	select {
	case <-time.After(time.Millisecond):
		return true
	case <-cn.stop:
		return false
	}
}
