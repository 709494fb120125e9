package replica

import (
	"testing"
	"time"
)

func TestAckState(t *testing.T) {
	const s = time.Second
	type update struct {
		wait             time.Duration
		up, mayDowngrade bool
		want             Change
	}
	for _, tt := range []struct {
		name          string
		after, within time.Duration
		updates       []update
	}{
		{"stays while less has waited", 5 * s, 0, []update{{5*s - 1, true, true, Unchanged}}},
		{"connected or not", 5 * s, 0, []update{{5 * s, true, true, BecameDowngraded}}},
		{"not connected", 5 * s, 0, []update{{5 * s, false, true, BecameDowngraded}}},
		{"never", 0, 0, []update{{time.Hour, false, true, Unchanged}}},
		{"min_sync forbids it", 5 * s, 0, []update{{6 * s, false, false, Unchanged}, {7 * s, false, true, BecameDowngraded}}},
		{"once", 5 * s, 0, []update{{5 * s, false, true, BecameDowngraded}, {6 * s, false, true, Unchanged}}},
		{"down with nothing waiting", 5 * s, 0, []update{{0, false, true, Unchanged}}},
		{"counts again below half", 5 * s, 0, []update{
			{5 * s, true, true, BecameDowngraded}, {2500 * time.Millisecond, true, true, Unchanged},
			{2499 * time.Millisecond, true, true, BecameCounting}, {2499 * time.Millisecond, true, true, Unchanged},
		}},
		{"counts again below the given bound", 5 * s, s, []update{
			{5 * s, true, true, BecameDowngraded}, {s, true, true, Unchanged}, {s - 1, true, true, BecameCounting},
		}},
		{"only while connected", 5 * s, 0, []update{
			{5 * s, true, true, BecameDowngraded}, {0, false, true, Unchanged}, {0, true, true, BecameCounting},
		}},
		{"and again", 5 * s, 0, []update{
			{5 * s, true, true, BecameDowngraded}, {0, true, true, BecameCounting}, {5 * s, true, true, BecameDowngraded},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := NewAckState(tt.after, tt.within)
			var downgrades uint64
			for i, u := range tt.updates {
				if got := a.Update(u.wait, u.up, u.mayDowngrade); got != u.want {
					t.Fatalf("update %d: %v, want %v", i, got, u.want)
				}
				if u.want == BecameDowngraded {
					downgrades++
				}
			}
			if a.Downgrades() != downgrades {
				t.Errorf("%d downgrades counted, want %d", a.Downgrades(), downgrades)
			}
		})
	}
}

func TestAckStateDue(t *testing.T) {
	a := NewAckState(5*time.Second, 0)
	if at, ok := a.Due(2*time.Second, true, true); !ok || at != 7*time.Second {
		t.Errorf("due %v %v, want 7s", at, ok)
	}
	for _, tt := range []struct{ waiting, mayDowngrade bool }{{false, true}, {true, false}} {
		if _, ok := a.Due(2*time.Second, tt.waiting, tt.mayDowngrade); ok {
			t.Errorf("due although waiting is %v and mayDowngrade %v", tt.waiting, tt.mayDowngrade)
		}
	}
	a.Update(5*time.Second, true, true)
	if _, ok := a.Due(2*time.Second, true, true); ok {
		t.Error("due although downgraded")
	}
}
