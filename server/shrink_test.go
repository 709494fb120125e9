package server_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A place that names very many publishers becomes short again after retention has removed all of
// their messages for long enough: the next process resumes with a command that names none of them
// (R10).
func TestPlaceShrinks(t *testing.T) {
	n := 20_000
	if *measured > 0 {
		n = *measured
	}
	const retain = 4 * time.Minute // retention runs every minute
	synctest.Test(t, func(t *testing.T) {
		i := servertest.New(t, servertest.Unstarted(), servertest.Config(func(c *server.Config) {
			c.Log.Segment, c.Log.Retain = 64<<10, server.Duration(retain)
		}))
		*measured = 0 // the disk is in memory
		writePublishers(t, i, n, "orders")
		i.Restart()
		i.AwaitReady()
		cfg := i.Client("sub")
		line := &trafficWatch{dial: cfg.Dial}
		cfg.Dial, cfg.BookmarkStore = line.Dial, openMarks(t, filepath.Join(t.TempDir(), "marks.db"))
		defer cfg.BookmarkStore.Close()
		gw, filler := startClient(t, i.Client("gw")), startClient(t, i.Client("filler"))
		c := startClient(t, cfg)
		subscribeNow(t, c)
		c.Close()
		resume := func(body string) (c *client.Client, sent int64) {
			before := line.sent.Load()
			publishOne(t, gw, body)
			c = startClient(t, cfg)
			receive(t, subscribeNow(t, c), body)
			return c, line.sent.Load() - before
		}
		c, before := resume("1")
		for range 30 {
			for range 3 {
				if _, err := filler.Publish(t.Context(), "ticks", []byte(strings.Repeat("x", 40<<10))); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(retain / 4)
		}
		c.Close()
		c, after := resume("2")
		c.Close()
		gw.Close()
		filler.Close()
		place, err := cfg.BookmarkStore.OpenSubscription("orders", bookmarkstore.Query{Topic: "orders"})
		if err != nil {
			t.Fatal(err)
		}
		defer place.Release()
		v, _ := place.Discarded()
		t.Logf("%d publishers: a resume sends %d bytes before, and %d after; the place names %d", n, before, after, len(v))
		if before < int64(n)*20 || after > 2<<10 || len(v) > 2 {
			t.Error("the place is not short again")
		}
	})
}
