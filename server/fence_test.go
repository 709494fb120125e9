package server

import (
	"strings"
	"testing"
)

func TestContestHere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new claim
		want     contest
	}{
		{"a reconnect", claim{life: "x", counter: 1}, claim{life: "x", counter: 2}, newWins},
		{"an old logon that comes late", claim{life: "x", counter: 2}, claim{life: "x", counter: 1}, oldWins},
		{"another process", claim{life: "x", counter: 9}, claim{life: "y", counter: 1}, newWins},
		{"two plain clients", claim{}, claim{}, newWins},
		{"a plain one after an extended one", claim{life: "x", counter: 3}, claim{}, newWins},
		{"another user", claim{user: "joe"}, claim{user: "jim"}, otherUser},
		{"another user of the same life", claim{user: "joe", life: "x", counter: 1}, claim{life: "x", counter: 2}, otherUser},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := contestHere(tt.old, tt.new); got != tt.want {
				t.Errorf("contestHere(%+v, %+v) = %v, want %v", tt.old, tt.new, got, tt.want)
			}
		})
	}
}

func TestContestAcross(t *testing.T) {
	for _, tt := range []struct {
		name        string
		here, there claim
		told        bool
		want        contest
	}{
		{"a reconnect there", claim{life: "x", counter: 1}, claim{life: "x", counter: 2}, true, newWins},
		{"a delayed notice of a session long gone", claim{life: "x", counter: 3}, claim{life: "x", counter: 2}, true, oldWins},
		{"crossing, one life", claim{life: "x", counter: 3}, claim{life: "x", counter: 2}, false, oldWins},
		{"another process, later", claim{life: "y"}, claim{life: "x"}, true, newWins},
		{"another process, crossing, larger life there", claim{life: "x"}, claim{life: "y"}, false, newWins},
		{"another process, crossing, larger life here", claim{life: "y"}, claim{life: "x"}, false, oldWins},
		{"plain, later", claim{instance: "a"}, claim{instance: "b"}, true, newWins},
		{"plain, crossing, smaller name here", claim{instance: "a"}, claim{instance: "b"}, false, oldWins},
		{"plain, crossing, smaller name there", claim{instance: "b"}, claim{instance: "a"}, false, newWins},
		{"another user", claim{user: "joe"}, claim{user: "jim"}, true, otherUser},
		{"another user, crossed", claim{user: "joe", instance: "a"}, claim{user: "jim", instance: "b"}, false, otherUser},
		{"another user, crossed, on the smaller instance", claim{user: "joe", instance: "b"}, claim{user: "jim", instance: "a"}, false, newWins},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := contestAcross(tt.here, tt.there, tt.told); got != tt.want {
				t.Errorf("contestAcross(%+v, %+v, %v) = %v, want %v", tt.here, tt.there, tt.told, got, tt.want)
			}
		})
	}
}

func TestTakeover(t *testing.T) {
	x1, x2, y, plain := claim{life: "x", counter: 1}, claim{life: "x", counter: 2}, claim{life: "y"}, claim{}
	for _, tt := range []struct {
		old, later claim
		want       string
	}{
		{x1, x2, "logged on again"}, {x1, y, "another process"}, {plain, plain, "a later logon"}, {x1, plain, "a later logon"},
	} {
		if got := takeover(tt.old, tt.later); !strings.Contains(got, tt.want) {
			t.Errorf("%+v and %+v: %q", tt.old, tt.later, got)
		}
	}
}

// Where notices cross, each side decides alone: exactly one of the two lives.
func TestContestAcrossAgrees(t *testing.T) {
	lives, instances := []string{"", "x", "y"}, []string{"a", "b"}
	for _, l1 := range lives {
		for _, l2 := range lives {
			for c1 := range uint64(3) {
				for c2 := range uint64(3) {
					a := claim{life: l1, counter: c1, instance: instances[0]}
					b := claim{life: l2, counter: c2, instance: instances[1]}
					onA, onB := contestAcross(a, b, false), contestAcross(b, a, false)
					if (onA == newWins) == (onB == newWins) {
						t.Errorf("%+v and %+v: %v on a, %v on b", a, b, onA, onB)
					}
				}
			}
		}
	}
}
