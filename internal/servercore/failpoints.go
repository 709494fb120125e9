//go:build failpoint

package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// behindLast is a planted bug: it starts after the last of the bookmarks in this instance's
// ledger, as if all ledgers had the same order.
func behindLast(l ledger.Ledger, list []bookmark.Bookmark, at ledger.Position) (from, after ledger.Position) {
	from, after = at, at
	for _, x := range list {
		if at, found, err := l.Find([]bookmark.Bookmark{x}, nil); err == nil && found && at >= from {
			from, after = at, at+1
		}
	}
	return from, after
}
