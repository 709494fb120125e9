//go:build linux

package main

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailoverLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFailoverLog()
		before := time.Now()
		for n := uint64(1); n <= 5; n++ {
			l.recordTry(n, before)
		}
		l.recordAck(1, before)
		l.recordDelivery(1)
		time.Sleep(time.Second)
		l.kill(func() error { return nil })
		time.Sleep(10 * time.Millisecond)
		l.recordAck(2, before) // in flight when the server died
		l.recordDelivery(2)
		again := time.Now()
		l.recordTry(3, again)
		time.Sleep(20 * time.Millisecond)
		l.recordAck(3, again)
		l.recordAck(4, again)
		select {
		case <-l.recovered:
			t.Error("recovered before the next message has arrived")
		default:
		}
		time.Sleep(30 * time.Millisecond)
		l.recordDelivery(3)
		<-l.recovered
		l.recordDelivery(3)
		for _, n := range []uint64{1, 2, 3} { // not 4, which was acked
			l.recordFound(n)
		}
		want := sample{nextAck: 30, nextMessage: 60, lost: 1, duplicated: 1}
		if got := l.count(); !maps.Equal(got, want) {
			t.Errorf("count() = %v, want %v", got, want)
		}
	})
}
