package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// An endingLedger reads the log no more for a session that is ending.
type endingLedger struct {
	ledger.Ledger
	ended *atomic.Bool
}

// SeekTime implements [ledger.Log].
func (l endingLedger) SeekTime(t time.Time) (ledger.Position, bookmark.Vector, error) {
	if l.ended.Load() {
		return 0, nil, ErrEnding
	}
	return l.Ledger.SeekTime(t)
}
