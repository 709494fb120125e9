//go:build !failpoint

package bookmarkstore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

func (w *window) failpointDiscard(failpoint.Bug, *publisher, uint64) {}

func (w *window) failpointSingleBookmark(v Vector) Vector { return v }
