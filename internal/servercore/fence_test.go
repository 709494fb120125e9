package servercore

import (
	"strings"
	"testing"
)

func TestContestHere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new Claim
		want     Contest
	}{
		{"a reconnect", Claim{Life: "x", Counter: 1}, Claim{Life: "x", Counter: 2}, NewWins},
		{"an old logon that comes late", Claim{Life: "x", Counter: 2}, Claim{Life: "x", Counter: 1}, OldWins},
		{"another process", Claim{Life: "x", Counter: 9}, Claim{Life: "y", Counter: 1}, NewWins},
		{"two plain clients", Claim{}, Claim{}, NewWins},
		{"a plain one after an extended one", Claim{Life: "x", Counter: 3}, Claim{}, NewWins},
		{"another user", Claim{User: "joe"}, Claim{User: "jim"}, OtherUser},
		{"another user of the same life", Claim{User: "joe", Life: "x", Counter: 1}, Claim{Life: "x", Counter: 2}, OtherUser},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ContestHere(tt.old, tt.new); got != tt.want {
				t.Errorf("ContestHere(%+v, %+v) = %v, want %v", tt.old, tt.new, got, tt.want)
			}
		})
	}
}

func TestContestAcross(t *testing.T) {
	for _, tt := range []struct {
		name        string
		here, there Claim
		told        bool
		want        Contest
	}{
		{"a reconnect there", Claim{Life: "x", Counter: 1}, Claim{Life: "x", Counter: 2}, true, NewWins},
		{"a delayed notice of a session long gone", Claim{Life: "x", Counter: 3}, Claim{Life: "x", Counter: 2}, true, OldWins},
		{"crossing, one life", Claim{Life: "x", Counter: 3}, Claim{Life: "x", Counter: 2}, false, OldWins},
		{"another process, later", Claim{Life: "y"}, Claim{Life: "x"}, true, NewWins},
		{"another process, crossing, larger life there", Claim{Life: "x"}, Claim{Life: "y"}, false, NewWins},
		{"another process, crossing, larger life here", Claim{Life: "y"}, Claim{Life: "x"}, false, OldWins},
		{"plain, later", Claim{Instance: "a"}, Claim{Instance: "b"}, true, NewWins},
		{"plain, crossing, smaller name here", Claim{Instance: "a"}, Claim{Instance: "b"}, false, OldWins},
		{"plain, crossing, smaller name there", Claim{Instance: "b"}, Claim{Instance: "a"}, false, NewWins},
		{"another user", Claim{User: "joe"}, Claim{User: "jim"}, true, OtherUser},
		{"another user, crossed", Claim{User: "joe", Instance: "a"}, Claim{User: "jim", Instance: "b"}, false, OtherUser},
		{"another user, crossed, on the smaller instance", Claim{User: "joe", Instance: "b"}, Claim{User: "jim", Instance: "a"}, false, NewWins},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ContestAcross(tt.here, tt.there, tt.told); got != tt.want {
				t.Errorf("ContestAcross(%+v, %+v, %v) = %v, want %v", tt.here, tt.there, tt.told, got, tt.want)
			}
		})
	}
}

func TestTakeover(t *testing.T) {
	x1, x2, y, plain := Claim{Life: "x", Counter: 1}, Claim{Life: "x", Counter: 2}, Claim{Life: "y"}, Claim{}
	for _, tt := range []struct {
		old, later Claim
		want       string
	}{
		{x1, x2, "logged on again"}, {x1, y, "another process"}, {plain, plain, "a later logon"}, {x1, plain, "a later logon"},
	} {
		if got := Takeover(tt.old, tt.later); !strings.Contains(got, tt.want) {
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
					a := Claim{Life: l1, Counter: c1, Instance: instances[0]}
					b := Claim{Life: l2, Counter: c2, Instance: instances[1]}
					onA, onB := ContestAcross(a, b, false), ContestAcross(b, a, false)
					if (onA == NewWins) == (onB == NewWins) {
						t.Errorf("%+v and %+v: %v on a, %v on b", a, b, onA, onB)
					}
				}
			}
		}
	}
}
