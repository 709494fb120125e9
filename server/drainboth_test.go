package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// shutDown begins the Shutdown of an instance.
func shutDown(s *server.Server) <-chan error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	return stopped
}

// newLinkedPair starts a pair and waits until its link is there to stay. Both instances dial, and
// while their connections cross there may be no link for a moment: an instance that stops then
// cannot tell its peer.
func newLinkedPair(t *testing.T, opts ...servertest.Option) *servertest.Pair {
	t.Helper()
	pair := servertest.NewPair(t, opts...)
	time.Sleep(time.Second)
	return pair
}

// Both instances are shut down, and one has outstanding acks that wait a second for the disk of the
// other. The link stays until these acks are sent.
func TestBothDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newLinkedPair(t)
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		diskOf(pair.B).SetSyncDelay(time.Second)
		p.publish("orders", 2, 5)
		synctest.Wait()
		began := time.Now()
		a := shutDown(pair.A.Server())
		synctest.Wait()
		b := shutDown(pair.B.Server())
		p.awaitPersisted(5, "")
		p.wantClosed()
		if errA, errB := <-a, <-b; errA != nil || errB != nil {
			t.Errorf("Shutdown: %v, %v", errA, errB)
		}
		if d := time.Since(began); d > 6*time.Second { // a sync for the acks, and those of the stop itself
			t.Errorf("took %v", d)
		}
	})
}

// An instance ends without its outstanding acks if its peer ends before it has acknowledged.
func TestPeerEndsWhileBothDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newLinkedPair(t, servertest.Config(func(c *server.Config) {
			if c.DrainTimeout = server.Duration(time.Hour); c.Name == "b" {
				c.DrainTimeout = server.Duration(time.Second)
			}
		}))
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		diskOf(pair.B).SetSyncDelay(time.Minute)
		p.publish("orders", 2, 5)
		synctest.Wait()
		began := time.Now()
		a := shutDown(pair.A.Server())
		synctest.Wait()
		b := shutDown(pair.B.Server())
		if err := <-a; !errors.Is(err, server.ErrDrainTimeout) {
			t.Errorf("Shutdown of a: %v", err)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("a took %v", d)
		}
		p.wantClosed()
		<-b
	})
}

// An instance whose peer has stopped already does not wait for acks of that peer.
func TestStopsAfterPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newLinkedPair(t, servertest.Config(func(c *server.Config) { c.DrainTimeout = server.Duration(time.Hour) }))
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		if err := <-shutDown(pair.B.Server()); err != nil {
			t.Fatal(err)
		}
		p.publish("orders", 2, 5)
		synctest.Wait()
		links := pair.A.Server().Status().Links
		if !strings.HasPrefix(links[0].Reason, "the peer has stopped; ") {
			t.Errorf("the link is %s: %s", links[0].State, links[0].Reason)
		}
		began := time.Now()
		if err := <-shutDown(pair.A.Server()); !errors.Is(err, server.ErrDrainTimeout) {
			t.Errorf("Shutdown of a: %v", err)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("a took %v", d)
		}
	})
}

// Such an instance ends without an error if no acks are outstanding.
func TestStopsAfterPeerInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newLinkedPair(t)
		for i := range 50 {
			dial(t, pair.A).logon(fmt.Sprint("sub", i))
		}
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 5)
		p.awaitPersisted(5, "")
		for _, i := range []*servertest.Instance{pair.B, pair.A} {
			if err := <-shutDown(i.Server()); err != nil {
				t.Errorf("Shutdown of %s: %v", i.Name(), err)
			}
		}
	})
}

// A peer that has stopped and come back counts as running.
func TestPeerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := newLinkedPair(t)
		if err := <-shutDown(pair.B.Server()); err != nil {
			t.Fatal(err)
		}
		pair.B.Restart()
		pair.B.AwaitReady()
		pair.AwaitConverged()
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		pair.Partition()
		p.publish("orders", 2, 5)
		synctest.Wait()
		a := shutDown(pair.A.Server())
		p.wantSilence(time.Second)
		pair.Heal()
		p.awaitPersisted(5, "")
		if err := <-a; err != nil {
			t.Errorf("Shutdown of a: %v", err)
		}
	})
}
