//go:build !mut

package bookmarkstore

import "github.com/holdfast-mq/holdfast/internal/mut"

func (w *window) discardPlanted(mut.Bug, *publisher, uint64) {}

func (w *window) singlePlanted(v Vector) Vector { return v }
