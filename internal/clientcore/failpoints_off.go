//go:build !failpoint

package clientcore

import (
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func (s *Subscription) restartPlanted() {}

func (s *Subscription) partPlanted(*wire.Message) Effect { return Effect{} }

func (e *LogonEffect) startPlanted(pubstore.Store) uint64 { return e.After }

func (s *Sender) plantHeaders(*pubstore.Message) {}
