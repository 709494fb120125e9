//go:build mut

package clientcore

import "github.com/holdfast-mq/holdfast/internal/mut"

// restartPlanted takes the place anew, as a new process would.
func (s *Subscription) restartPlanted() {
	if mut.On(mut.R9ReconnectIsRestart) && s.place != nil {
		s.place.Release()
		_ = s.Open(s.store)
	}
}
