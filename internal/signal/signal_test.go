package signal_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

func TestSignal(t *testing.T) {
	s := signal.New()
	isSet := func() bool {
		select {
		case <-s:
			return true
		default:
			return false
		}
	}
	if isSet() {
		t.Error("a new signal is set")
	}
	s.Set()
	s.Set() // does not block
	if !isSet() {
		t.Error("it is not set")
	}
	if isSet() {
		t.Error("two Sets are received twice")
	}
}
