package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The rest of a frame must arrive within half a minute, or within a time that depends on its
// length.
func TestFrameDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t)
		slow, trickle := dial(t, i), dial(t, i)
		slow.logon("slow")
		trickle.logon("trickle")
		message := frame(`{"c":"p","t":"a","s":1,"a":"persisted"}` + strings.Repeat("x", 8<<20))
		trickle.bytes("\x00\x00\x10\x00{")
		part := len(message) / 60
		for n := range 60 {
			slow.bytes(message[n*part : (n+1)*part])
			if n < 29 {
				trickle.bytes(" ")
			}
			<-time.After(time.Second)
		}
		slow.bytes(message[60*part:])
		slow.awaitPersisted(1, "")
		trickle.wantClosed()
	})
}

// Shutdown ends less than a second after drain_timeout, for any session: here for one that reads
// nothing, has outstanding acks, and never closes.
func TestShutdownOfBusySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t)
		p := dial(t, pair.A)
		p.logonExt("gw", "life", 1, 0)
		p.publish("orders", 1, 1)
		p.awaitPersisted(1, "")
		pair.Partition()
		p.publish("orders", 2, 5)
		deaf := dial(t, pair.A)
		deaf.logon("deaf")
		deaf.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0"}`)
		synctest.Wait()
		began := time.Now()
		err := pair.A.Server().Shutdown(context.Background())
		if took := time.Since(began); took > 10900*time.Millisecond || !errors.Is(err, server.ErrDrainTimeout) {
			t.Errorf("ended after %v: %v", took, err)
		}
	})
}
