//go:build mut

package clientcore

import (
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// restartPlanted takes the place anew, as a new process would.
func (s *Subscription) restartPlanted() {
	if mut.On(mut.R9ReconnectIsRestart) && s.place != nil {
		s.place.Release()
		_ = s.Open(s.store)
	}
}

// startPlanted begins behind all messages in the store.
func (b *Beginning) startPlanted(store pubstore.Store) uint64 {
	if !mut.On(mut.R1NewBeforeReplay) {
		return b.After
	}
	lives := store.Lives()
	return lives[len(lives)-1].Last
}
