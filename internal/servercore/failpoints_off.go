//go:build !failpoint

package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

func behindLast(_ ledger.Ledger, _ []bookmark.Bookmark, at ledger.Position) (from, after ledger.Position) {
	return at, at
}
