package server_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// An instance serves clients once it has the messages of its peer (R6).
func TestCatchesUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.DowngradeAfter(time.Second))
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		pair.B.Kill()
		p.publish("orders", 1, 100)
		p.awaitPersisted(100, "single")
		pair.B.Wipe()
		pair.B.Restart()
		c := dial(t, pair.B) // the port is bound but not served
		if ack, _ := c.logonExt("other", "other life", 1, 0); ack.CatchingUp || string(ack.Status) != "success" {
			t.Errorf("logon ack %s, catching up %v", ack.Status, ack.CatchingUp)
		}
		if have := pair.B.Have(lifeHash); have != 100 {
			t.Errorf("serves with %d of 100", have)
		}
	})
}

// An instance without its peer serves clients after rejoin_timeout (R6).
func TestServesWithoutPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Unstarted())
		began := time.Now()
		pair.A.Restart()
		c := dial(t, pair.A)
		c.send(`{"c":"logon","cid":"0","client_name":"gw","a":"processed","ext":"1","store":"life","n":1,"acked":0}`)
		c.conn.SetReadDeadline(time.Now().Add(time.Minute))
		f, err := c.r.Next()
		var m wire.Message
		if err != nil || wire.Parse(f, &m) != nil || !m.CatchingUp {
			t.Errorf("%s, %v", f, err)
		}
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("served after %v, want rejoin_timeout", d)
		}
	})
}

// Shutdown accepts no new logons, waits for outstanding acks, and then ends.
func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p, s := dial(t, pair.A), dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		s.logon("sub")
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "") // the peer has answered the notice of the logon, so that publishes are not held back
		pair.Partition()
		p.publish("orders", 2, 5)
		p.wantSilence(time.Second)
		a := pair.A.Server()
		stopped := make(chan error, 1)
		go func() { stopped <- a.Shutdown(context.Background()) }()
		synctest.Wait()
		s.wantClosed() // it has no outstanding acks
		if c, err := pair.A.Dial(t.Context(), "tcp", pair.A.Addr()); err == nil {
			c.Close()
			t.Error("takes connections while it stops")
		}
		pair.Heal()
		p.awaitPersisted(5, "")
		p.wantClosed()
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "") // the peer has answered the notice of the logon, so that publishes are not held back
		pair.Partition()
		p.publish("orders", 2, 5)
		p.wantSilence(time.Second)
		began := time.Now()
		if err := pair.A.Server().Shutdown(context.Background()); !errors.Is(err, server.ErrDrainTimeout) {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(began); d < 10*time.Second || d > 12*time.Second {
			t.Errorf("took %v, want drain_timeout", d)
		}
		p.wantClosed()
	})
}

// A client that closes its side first still gets its acks.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 5)
		if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.awaitPersisted(5, "")
		p.wantClosed()
	})
}

// After a kill and a restart the journal is unchanged. After a power cut only messages without ack
// are missing.
func TestKillAndPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		p := dial(t, i)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 50)
		p.awaitPersisted(50, "")
		i.Kill()
		i.Restart()
		i.AwaitReady()
		if n := len(i.Messages("orders")); n != 50 {
			t.Errorf("%d messages after a kill", n)
		}
		i.PowerCut()
		i.Restart()
		i.AwaitReady()
		p = dial(t, i)
		if ack, _ := p.logonExt("gw", "life", 2, 0); ack.Sequence != 50 || ack.Have != 50 {
			t.Errorf("after a power cut s=%d have=%d", ack.Sequence, ack.Have)
		}
	})
}

// A pair works the same on real sockets and files.
func TestRealPair(t *testing.T) {
	pair := servertest.NewPair(t, servertest.Real())
	p := dial(t, pair.A)
	p.logonExt("gw", "life", 1, 0)
	p.publish("orders", 1, 200)
	p.awaitPersisted(200, "")
	s := dial(t, pair.B)
	s.logon("sub")
	s.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","a":"processed"}`)
	s.next()
	s.receive(200)
	pair.A.Close()
	pair.A.Restart()
	pair.A.AwaitReady()
	if n := len(pair.A.Messages("orders")); n != 200 {
		t.Errorf("%d messages after a restart", n)
	}
}
