//go:build failpoint

package clientcore

import (
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// restartPlanted opens the place again, as a new process would.
func (s *Subscription) restartPlanted() {
	if failpoint.On(failpoint.R9ReconnectIsRestart) && s.place != nil {
		s.place.Release()
		_ = s.Open(s.store)
	}
}

// partPlanted handles one part of a base like a whole base.
func (s *Subscription) partPlanted(m *wire.Message) (e Effect) {
	if failpoint.On(failpoint.R9BaseEarly) && s.stage == subscribing {
		e.Base, _ = bookmark.ParseVector(m.Bookmark)
	}
	return e
}

// startPlanted starts after all messages in the store.
func (e *LogonEffect) startPlanted(store pubstore.Store) uint64 {
	if !failpoint.On(failpoint.R1NewBeforeReplay) {
		return e.After
	}
	lives := store.Lives()
	return lives[len(lives)-1].Last
}

// lastHeaders are the headers of the last message of any sender.
var lastHeaders atomic.Pointer[pubstore.Headers]

// plantHeaders changes the headers of the next message.
func (s *Sender) plantHeaders(m *pubstore.Message) {
	own := m.Headers.Clone()
	switch {
	case failpoint.On(failpoint.HeadersLostOnResend) && m.Sequence <= s.replayTo:
		m.Headers = pubstore.Headers{}
	case failpoint.On(failpoint.HeadersOfAnother) && s.batchStart >= 0:
		if last := lastHeaders.Load(); last != nil {
			m.Headers = *last
		}
	}
	lastHeaders.Store(&own)
}
