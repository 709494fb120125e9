package servercore

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestContestHere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new Claim
		want     Contest
	}{
		{"a reconnect", life("x", Claim{LogonCounter: 1}), life("x", Claim{LogonCounter: 2}), NewWins},
		{"an old logon that comes late", life("x", Claim{LogonCounter: 2}), life("x", Claim{LogonCounter: 1}), OldWins},
		{"another process", life("x", Claim{LogonCounter: 9}), life("y", Claim{LogonCounter: 1}), NewWins},
		{"two plain clients", Claim{}, Claim{}, NewWins},
		{"another publisher with the id", life("x", Claim{}), sameID("x", Claim{LogonCounter: 9}), OtherPublisher},
		{"a plain one after an extended one", life("x", Claim{LogonCounter: 3}), Claim{}, NewWins},
		{"another user", Claim{User: "joe"}, Claim{User: "jim"}, OtherUser},
		{"another user of the same life", life("x", Claim{User: "joe", LogonCounter: 1}), life("x", Claim{LogonCounter: 2}), OtherUser},
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
		{"a reconnect there", life("x", Claim{LogonCounter: 1}), life("x", Claim{LogonCounter: 2}), true, NewWins},
		{"a delayed notice of a session long gone", life("x", Claim{LogonCounter: 3}), life("x", Claim{LogonCounter: 2}), true, OldWins},
		{"crossing, one life", life("x", Claim{LogonCounter: 3}), life("x", Claim{LogonCounter: 2}), false, OldWins},
		{"another process, later", life("y", Claim{}), life("x", Claim{}), true, NewWins},
		{"another process, crossing, larger id there", life("x", Claim{}), life("y", Claim{}), false, NewWins},
		{"another process, crossing, larger id here", life("y", Claim{}), life("x", Claim{}), false, OldWins},
		{"another publisher with the id, larger check there", life("x", Claim{}), sameID("x", Claim{}), false, NewWins},
		{"another publisher with the id, larger check here", sameID("x", Claim{}), life("x", Claim{}), false, OtherPublisher},
		{"another publisher with the id, later", life("x", Claim{}), sameID("x", Claim{LogonCounter: 9}), true, OtherPublisher},
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
	x1, x2, y, plain := life("x", Claim{LogonCounter: 1}), life("x", Claim{LogonCounter: 2}), life("y", Claim{}), Claim{}
	for _, tt := range []struct {
		old, later Claim
		want       Takeover
	}{
		{x1, x2, TakeoverSame}, {x1, y, TakeoverProcess}, {plain, plain, TakeoverUnknown}, {x1, plain, TakeoverUnknown},
	} {
		if got := TakeoverOf(tt.old, tt.later); got != tt.want {
			t.Errorf("%+v and %+v: %d", tt.old, tt.later, got)
		}
	}
}

// life returns c as the claim of a store's life; an empty name is a client without a store.
func life(name string, c Claim) Claim {
	if name != "" {
		c.Publisher, c.Check = bookmark.IdentityOfLife("").ID&^0xff|uint64(name[0]), bookmark.Check{name[0]}
	}
	return c
}

// sameID returns c as the claim of another publisher that has the id of a life.
func sameID(name string, c Claim) Claim {
	c = life(name, c)
	c.Check = bookmark.Check{0xff}
	return c
}

// When notices cross, each side decides alone, and exactly one of the two sessions survives.
func TestContestAcrossAgrees(t *testing.T) {
	lives, instances := []string{"", "x", "y"}, []string{"a", "b"}
	for _, l1 := range lives {
		for _, l2 := range lives {
			for c1 := range uint64(3) {
				for c2 := range uint64(3) {
					a := life(l1, Claim{LogonCounter: c1, Instance: instances[0]})
					b := life(l2, Claim{LogonCounter: c2, Instance: instances[1]})
					onA, onB := ContestAcross(a, b, false), ContestAcross(b, a, false)
					if (onA == NewWins) == (onB == NewWins) {
						t.Errorf("%+v and %+v: %v on a, %v on b", a, b, onA, onB)
					}
				}
			}
		}
	}
}
