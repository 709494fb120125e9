package server

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// The status shows a refusal for a minute after the last time.
func TestRefusalsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r refusals
		r.add("publish gap")
		time.Sleep(40 * time.Second)
		r.add("incarnation")
		if got := r.recent(); !slices.Equal(got, []string{"incarnation", "publish gap"}) {
			t.Errorf("shown %v", got)
		}
		time.Sleep(30 * time.Second)
		if got := r.recent(); !slices.Equal(got, []string{"incarnation"}) {
			t.Errorf("shown %v", got)
		}
	})
}
