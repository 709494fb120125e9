package replica

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// toAsync returns an asynchronous destination with an address to dial.
func toAsync(name string) Destination {
	return Destination{Name: name, Address: name + ":9107"}
}

// restart closes an instance and starts it again with these destinations.
func (i *instance) restart(dests ...Destination) {
	i.w.t.Helper()
	i.close()
	i.set = configured(i.name, dests...)
	i.start()
}

// An asynchronous destination that is away does not hold up the start, nor does the instance count
// as catching up, because that destination sends nothing (R6). But it may know publishers that no
// other instance knows (R10).
func TestStartWithoutAnAsyncDestination(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), toAsync("c"))
		b := w.start("b", to("a"))
		w.linked(a, b)
		if w.now("ready", a.isReady); a.l.CatchingUp() {
			t.Error("a is catching up with an asynchronous destination that is away")
		}
		if answers := a.ask(t.Context(), Notice{Publisher: 9}); answers.AllAnswered || !answers.EnoughAnswered {
			t.Errorf("answers %+v: c has not been asked whether it knows the publisher", answers)
		}
	})
}

// An instance remembers over restarts whether a peer replicates here, according to its last hello.
// It waits for a peer that does, even an asynchronous one, and not for a peer that does not, even a
// synchronous one (R6).
func TestStartWaitsForInboundPeers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ours  Destination   // destination of a
		back  []Destination // destinations of b
		waits bool
	}{
		{"sync, both ways", to("b"), []Destination{to("a")}, true},
		{"sync, one way", to("b"), nil, false},
		{"async, both ways", toAsync("b"), []Destination{toAsync("a")}, true},
		{"async, one way", toAsync("b"), nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, b := w.start("a", tt.ours), w.start("b", tt.back...)
				w.linked(a, b)
				a.publish(1, 1, 1)
				w.same(a, b)
				check := func(awaited bool) {
					t.Helper()
					if pass(time.Second); a.isReady() == awaited {
						t.Errorf("ready %v after a second", !awaited)
					}
					if pass(10 * time.Second); !a.isReady() || a.l.CatchingUp() != awaited {
						t.Errorf("ready %v, catching up %v", a.isReady(), a.l.CatchingUp())
					}
				}
				if err := b.l.Close(); err != nil {
					t.Fatal(err)
				}
				a.kill(memfs.KeepAll)
				a.start()
				check(tt.waits)

				// From now on b does the opposite.
				if tt.back = append(tt.back, to("a")); len(tt.back) > 1 {
					tt.back = nil
				}
				b.restart(tt.back...)
				w.linked(a, b)
				a.publish(1, 2, 2)
				w.same(a, b)
				if err := b.l.Close(); err != nil {
					t.Fatal(err)
				}
				a.kill(memfs.KeepAll)
				a.start()
				check(!tt.waits)
			})
		})
	}
}

// The start waits for a synchronous peer whose role is not known, as after a disk was replaced.
func TestStartWithAnEmptyDisk(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		b.kill(memfs.Durable)
		a.kill(memfs.Durable)
		a.disk = memfs.New()
		a.start()
		pass(time.Second)
		if a.isReady() {
			t.Error("a serves without having asked b for its records")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if answers := a.ask(ctx, Notice{Publisher: 9}); answers.AllAnswered {
			t.Error("b has answered, and is away")
		}
	})
}
