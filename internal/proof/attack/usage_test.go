package main

import "testing"

func TestStolenSince(t *testing.T) {
	before := parseCPUTimes("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1 2 3\n")
	after := parseCPUTimes("cpu  140 0 70 830 10 0 5 45 999 0\ncpu0 1 2 3\n") // 100 ticks later; the guests' are part of others
	if got := after.stolenShare(before); got != 0.1 {
		t.Errorf("%v is stolen, want 0.1", got)
	}
	if got := parseCPUTimes("").stolenShare(cpuTimes{}); got != 0 {
		t.Errorf("of nothing %v is stolen", got)
	}
}
