package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// bounded gives a dead application's store a bound.
func setBound(app *cluster.App, messages int, fail bool) {
	app.Options.MaxMessages, app.Options.FailWhenFull = messages, fail
}

// The publish store is full, because no instance is there, or because only one of them
// has the messages and the store keeps them (R5). Depending on its options Publish waits
// until there is room again, or returns ErrFull. A refused message is nowhere; accepted
// ones are delivered in order (G1, G7).
func TestStoreFull(t *testing.T) {
	for _, tt := range []struct {
		name       string
		downgraded bool
		fail       bool
	}{
		{"nobody there, blocks", false, false},
		{"nobody there, fails", false, true},
		{"downgraded, blocks", true, false},
		{"downgraded, fails", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
				pub := s.App("pub", []string{"a", "b"}, nil)
				pub.Kill()
				setBound(pub, 20, tt.fail)
				pub.Restart()
				pub.PublishN("orders", 1, 5)
				pub.FlushSafe()
				s.Node("b").Kill()
				if !tt.downgraded {
					s.Node("a").Kill()
				}
				pub.PublishN("orders", 6, 25)
				if tt.downgraded {
					pub.Flush()
				}
				want := cluster.Bodies("pub", 1, 25)
				if tt.fail {
					fullFails(s, pub)
				} else {
					fullBlocks(s, pub)
					want = cluster.Bodies("pub", 1, 26)
				}
				s.AwaitSync()
				pub.FlushSafe()
				pub.Publish("orders", "room again")
				pub.FlushSafe()
				wantJournals(s, append(want, "room again"))
			})
		})
	}
}

// startAll starts the instances that are not running.
func startAll(s *cluster.System) {
	for _, name := range []string{"a", "b"} {
		if s.Node(name).Server == nil {
			s.Node(name).Start()
		}
	}
}

func fullFails(s *cluster.System, pub *cluster.App) {
	s.TB.Helper()
	var none []string
	for n := range 3 {
		if err := accepted(s, pub, &none, fmt.Sprintf("refused-%d", n)); !errors.Is(err, pubstore.ErrFull) {
			s.TB.Errorf("Publish to a full store: %v, want ErrFull", err)
		}
	}
	startAll(s)
}

// fullBlocks publishes pub-26, which waits until the instances are back, and
// before that a message whose context ends first.
func fullBlocks(s *cluster.System, pub *cluster.App) {
	s.TB.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := pub.Client.Publish(ctx, "orders", []byte("cancelled")); !errors.Is(err, context.DeadlineExceeded) {
		s.TB.Errorf("Publish to a full store: %v, want the deadline", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := pub.Client.Publish(context.Background(), "orders", []byte("pub-26"))
		done <- err
	}()
	s.Advance(time.Minute)
	select {
	case err := <-done:
		s.TB.Fatalf("Publish to a full store has returned %v", err)
	default:
	}
	startAll(s)
	if err := <-done; err != nil {
		s.TB.Errorf("Publish when there is room again: %v", err)
	}
}

// Execute sends the commands that the client has no method for. The server answers those
// that it has and reports that it does not offer the others, and the session goes on. The
// command ends with the connection, and the application is told (G7).
func TestExecute(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		app := s.App("app", []string{"a", "b"}, nil)
		app.AwaitServer("a")
		ctx, cancel := s.Context()
		defer cancel()
		run := func(cmd client.Command) (acks []string, err error) {
			for r, e := range app.Client.Execute(ctx, cmd) {
				if e != nil {
					return acks, e
				}
				acks = append(acks, r.AckType)
			}
			return acks, nil
		}
		for _, name := range []string{"sow", "sow_and_subscribe", "sow_and_delta_subscribe", "delta_subscribe", "sow_delete"} {
			var refused *client.CommandError
			_, err := run(client.Command{Name: name, Topic: "orders", Filter: "1=1"})
			if !errors.As(err, &refused) || refused.Reason != name+" is not offered" {
				t.Errorf("%s: %v, want that it is not offered", name, err)
			}
		}
		if acks, err := run(client.Command{Name: "flush"}); err != nil || !slices.Equal(acks, []string{"processed", "completed"}) {
			t.Errorf("flush: %q, %v", acks, err)
		}
		app.PublishN("orders", 1, 3)
		app.FlushSafe()
		var got []string
		for r, err := range app.Client.Execute(ctx, client.Command{Name: "subscribe", Topic: "orders", Bookmark: "0"}) {
			if err != nil {
				if !errors.Is(err, client.ErrDisconnected) {
					t.Errorf("the connection is lost: %v", err)
				}
				break
			}
			if r.Kind != client.ReplyMessage {
				continue
			}
			if got = append(got, string(r.Body)); len(got) == 3 {
				s.Node("a").Kill()
			}
		}
		wantBodies(s, "a subscribe by Execute", got, cluster.Bodies("app", 1, 3))
		app.AwaitServer("b")
		app.PublishN("orders", 4, 6)
		s.Node("a").Start()
		app.FlushSafe()
		wantNoEvent(s, app, "rejected")
	})
}
