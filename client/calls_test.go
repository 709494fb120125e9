package client

import (
	"sync"
	"testing"
)

func isIdle(c *calls) bool {
	select {
	case <-c.idle:
		return true
	default:
		return false
	}
}

// After shut no call begins, and idle is closed when the last call has left.
func TestCalls(t *testing.T) {
	for n := range 3 {
		c := newCalls()
		for range n {
			if !c.enter() {
				t.Fatal("a call does not begin")
			}
		}
		if isIdle(c) {
			t.Fatal("quiet before it is shut")
		}
		c.shut()
		c.shut()
		for left := n; left > 0; left-- {
			if c.enter() {
				t.Fatal("a call began after it was shut")
			}
			if isIdle(c) {
				t.Fatalf("quiet with %d calls under way", left)
			}
			c.leave()
		}
		if c.enter() || !isIdle(c) {
			t.Fatal("not quiet, and no call is under way")
		}
	}
}

// The same with concurrent calls.
func TestCallsAtOnce(t *testing.T) {
	for range 1000 {
		c := newCalls()
		var running sync.WaitGroup
		entered := make(chan struct{})
		running.Go(func() {
			for first := true; c.enter(); first = false {
				if first {
					close(entered)
				}
				if isIdle(c) {
					t.Error("quiet with a call under way")
				}
				c.leave()
			}
		})
		<-entered
		running.Go(c.shut)
		running.Go(c.shut)
		<-c.idle
		running.Wait()
	}
}
