package client_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// A subscription without ID leaves nothing behind when it has ended: neither its place, which may
// name many publishers, nor anything else.
func TestUnnamedSubscriptionLeavesNothing(t *testing.T) {
	var base strings.Builder
	for n := range 2000 {
		fmt.Fprintf(&base, ",%d|7|", 1<<40+n)
	}
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		round := func() {
			sub := subscribe(t, c, client.From(client.Now))
			ss.acceptSubscribe(base.String()[1:])
			s := must(t, sub)
			go s.Unsubscribe()
			ss.next()
		}
		round()
		before := heapInUse()
		for range 50 {
			round()
		}
		if after := heapInUse(); after > before+8<<20 {
			t.Errorf("50 subscriptions that have ended keep %d KiB", (after-before)>>10)
		}
	})
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
