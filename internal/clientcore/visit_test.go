package clientcore

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestVisit(t *testing.T) {
	lives := []pubstore.Life{{ID: "1", Kept: 2}, {ID: "2"}, {ID: "3", Kept: 1}, {ID: "4"}}
	var v Visit
	var got []string
	for {
		l, former := v.Next(lives)
		got = append(got, l.ID)
		if !former {
			break
		}
		v.Done(l.ID, l.ID == "1")
	}
	if !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("lives in the order %v", got)
	}
	for _, tt := range []struct {
		inSync   bool
		age      time.Duration
		restarts int
		kept     int // messages kept of life 3, which is settled
		want     bool
	}{
		{true, ReofferInterval - 1, 0, 1, false},
		{true, ReofferInterval, 0, 1, true},
		{false, ReofferInterval, 0, 1, false},
		{true, idleReofferInterval - 1, 0, 0, false}, // life 1 was refused as a gap
		{false, idleReofferInterval, 0, 0, true},
		{false, 4*idleReofferInterval - 1, 2, 0, false},
		{false, 4 * idleReofferInterval, 2, 0, true},
		{false, idleReofferInterval << maxReofferDoublings, 1000, 0, true},
	} {
		lives[2].Kept, v.restarts = tt.kept, tt.restarts
		if got := v.ReofferDue(lives, tt.inSync, tt.age); got != tt.want {
			t.Errorf("%+v: due %v", tt, got)
		}
	}
	lives[0].Kept = 0
	lives[2].Kept, lives[3].Kept, v.restarts = 1, 0, 0
	if !v.ReofferDue(lives, false, idleReofferInterval) {
		t.Error("life 3 is kept, no ack will report it as safe, and no reoffer is due")
	}
	if lives[3].Kept = 1; v.ReofferDue(lives, false, time.Hour) {
		t.Error("a reoffer is due although the acks of life 4 will report life 3 as safe")
	}
	lives[2].Kept = 0
	if v.ReofferDue(lives, true, time.Hour) {
		t.Error("a reoffer is due although nothing is kept")
	}
}
