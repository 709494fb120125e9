//go:build !failpoint

package bookmarkstore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

func (w *window) discardPlanted(failpoint.Bug, *publisher, uint64) {}

func (w *window) singlePlanted(v Vector) Vector { return v }
