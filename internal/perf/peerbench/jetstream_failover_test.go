//go:build linux

package main

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		before := time.Now()
		for n := uint64(1); n <= 5; n++ {
			l.tries(n, before)
		}
		l.acks(1, before)
		l.delivers(1)
		time.Sleep(time.Second)
		l.kill(func() error { return nil })
		time.Sleep(10 * time.Millisecond)
		l.acks(2, before) // on their way when the server died
		l.delivers(2)
		again := time.Now()
		l.tries(3, again)
		time.Sleep(20 * time.Millisecond)
		l.acks(3, again)
		l.acks(4, again)
		select {
		case <-l.wentOn:
			t.Error("all goes on before the next message has come")
		default:
		}
		time.Sleep(30 * time.Millisecond)
		l.delivers(3)
		<-l.wentOn
		l.delivers(3)
		for _, n := range []uint64{1, 2, 3} { // not 4, which was acked
			l.keeps(n)
		}
		want := sample{nextAck: 30, nextMsg: 60, lost: 1, duplicated: 1}
		if got := l.count(); !maps.Equal(got, want) {
			t.Errorf("count() = %v, want %v", got, want)
		}
	})
}
