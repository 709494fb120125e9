package client

import (
	"errors"
	"runtime"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A loop sees the end of its subscription only when the id may be used again, because an
// application may subscribe again at once.
func TestEndIsReportedWhenTheIDIsFree(t *testing.T) {
	c := &Client{ctx: t.Context(), subs: make(map[string]*Subscription)}
	s := &Subscription{c: c, id: "s", ready: signal.New(), firstAnswer: make(chan struct{})}
	c.subs["s"] = s
	cause := errors.New("cause")
	ended := make(chan struct{})
	c.mu.Lock() // prevents the release of the id
	go func() { defer close(ended); s.end(cause) }()
	for over := false; !over; runtime.Gosched() {
		s.mu.Lock()
		over = s.core.Ended()
		s.mu.Unlock()
	}
	if _, _, err := s.takeNext(nil); err != nil {
		t.Errorf("got %v while the id is in use", err)
	}
	c.mu.Unlock()
	<-ended
	if _, _, err := s.takeNext(nil); err != cause {
		t.Errorf("got %v, want %v", err, cause)
	}
	if err := c.addSubscription(s); err != nil {
		t.Error(err)
	}
}
