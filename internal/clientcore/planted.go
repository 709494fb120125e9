//go:build !mut

package clientcore

func (s *Subscription) restartPlanted() {}
