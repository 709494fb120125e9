//go:build !mut

package clientcore

import "github.com/holdfast-mq/holdfast/pubstore"

func (s *Subscription) restartPlanted() {}

func (b *Beginning) startPlanted(pubstore.Store) uint64 { return b.After }
