package server_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A start says how the run before it has ended, and when the newest record was written. An orderly
// stop leaves no torn bytes.
func TestStartTellsOfPreviousRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Logger = slog.New(h) }))
		last := func() []string {
			synctest.Wait() // the lines come through a queue
			lines := linesFrom(h, slog.LevelInfo)
			for n := len(lines) - 1; n >= 0; n-- {
				if strings.Contains(lines[n], "the journal is open") {
					return lines[n : n+1]
				}
			}
			return nil
		}
		hasLine(t, last(), "previous=new")
		hasNoLine(t, last(), "last_write=2")
		cfg := i.Client("app")
		cfg.Logger = slog.New(h)
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(time.Minute)
		if _, err := c.Publish(t.Context(), "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err = c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err = i.Server().Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		i.Restart()
		hasLine(t, last(), "previous=stopped", "last_write=2000-01-01T00:01:0", "torn_bytes=0", "unsynced_bytes=0")
		i.Kill()
		i.Restart()
		hasLine(t, last(), "previous=killed")
	})
}
