package server_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/loglines"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// An incident is what happens to a pair with one publisher and one subscriber. go test -v prints
// what the instances and the clients log.
type incident struct {
	*testing.T
	log  *loglines.Recorder
	pair *servertest.Pair
	app  *client.Client
	from int // line of the log with which the incident begins
}

// runIncident runs an incident on a pair that has worked for a minute.
func runIncident(t *testing.T, configure func(*server.Config), f func(i *incident)) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		pair := loggedPair(t, h, configure)
		i := &incident{T: t, log: h, pair: pair, app: loggedClient(t, pair, h, "app")}
		i.publish(10)
		time.Sleep(time.Minute)
		i.from = len(i.lines())
		f(i)
		t.Log("\n" + strings.Join(i.lines()[i.from:], "\n"))
	})
}

func (i *incident) lines() []string { return linesFrom(i.log, slog.LevelInfo) }

// has fails the test if no line of the incident has all texts.
func (i *incident) has(texts ...string) {
	i.Helper()
	hasLine(i.T, i.lines()[i.from:], texts...)
}

// publish publishes messages, one each second.
func (i *incident) publish(messages int) {
	i.Helper()
	for n := range messages {
		if _, err := i.app.Publish(i.Context(), "orders", fmt.Append(nil, n)); err != nil {
			i.Fatal(err)
		}
		time.Sleep(time.Second)
	}
}

func TestIncidentPeerKilled(t *testing.T) {
	runIncident(t, nil, func(i *incident) {
		i.pair.A.Kill()
		i.publish(90)
		i.pair.A.Restart()
		i.pair.AwaitConverged()
		i.publish(10)
		i.has("link is down", "instance=b", "peer=a")
		i.has("messages are acknowledged by this disk alone: the link to the peer is down", "instance=b")
		i.has("the connection is lost", "client=app")
		i.has("the client is connected", "client=app", "b:9007")
		i.has("link is up", "instance=b", "duration=1m30s")
		i.has("messages are acknowledged by the disk of the peer, too, from now on", "instance=b")
	})
}

func TestIncidentDiskFilling(t *testing.T) {
	small := func(c *server.Config) {
		c.Log.Segment, c.Log.MinFree = 64<<10, server.Share{Bytes: 1 << 20}
	}
	runIncident(t, small, func(i *incident) {
		disk := diskOf(i.pair.A)
		disk.SetCapacity(used(disk) + 1<<20 + 128<<10) // above the reserve, below the headroom of retention
		i.publish(30)
		disk.SetCapacity(used(disk) + 700<<10)
		i.publish(30)
		time.Sleep(2 * time.Hour)
		disk.SetCapacity(1 << 40)
		i.publish(30)
		i.has("the disk is nearly full: publishes are refused until it has space", "instance=a")
		i.has("the disk is still nearly full: publishes are refused", "duration=1h0m0s")
		i.has("the disk has space again: publishes are accepted", "duration=2h")
		i.has("the client is connected", "client=app", "b:9007")
	})
}

// used returns the bytes that are used on a disk.
func used(disk *memfs.FS) int64 {
	free, total, _ := disk.Space("data")
	return total - free
}

func TestIncidentLinkCut(t *testing.T) {
	runIncident(t, nil, func(i *incident) {
		i.pair.Partition()
		i.publish(120)
		i.pair.Heal()
		i.pair.AwaitConverged()
		i.publish(10)
		i.has("link is down", "instance=a", "peer=b")
		i.has("link is down", "instance=b", "peer=a")
		i.has("messages are acknowledged by this disk alone: the link to the peer is down", "instance=a")
		i.has("acks come from one server only", "client=app")
		i.has("acks come from both servers again", "client=app")
	})
}

func TestIncidentSlowSubscriber(t *testing.T) {
	runIncident(t, nil, func(i *incident) {
		cfg := i.pair.Client("slow")
		cfg.Logger, cfg.QueueMessages = slog.New(i.log), 10
		c, err := client.Dial(i.Context(), cfg)
		if err != nil {
			i.Fatal(err)
		}
		defer c.Close()
		sub, err := c.Subscribe(i.Context(), "orders", client.From(client.Epoch))
		if err != nil {
			i.Fatal(err)
		}
		i.publish(200)
		n := 0
		for m, err := range sub.Messages(i.Context()) {
			if err != nil {
				i.Fatal(err)
			}
			m.Discard()
			time.Sleep(2 * time.Second)
			if n++; n == 200 {
				break
			}
		}
		i.has("a subscription is paused until the application has caught up: its queue is full", "client=slow", "topic=orders")
	})
}

func TestIncidentPublishGap(t *testing.T) {
	// b loses its disk and begins alone while a is away: it lacks what both had acknowledged.
	brief := func(c *server.Config) { c.RejoinTimeout = server.Duration(time.Second) }
	runIncident(t, brief, func(i *incident) {
		i.app.Close()
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		cfg := i.pair.Client("gapped")
		cfg.Logger, cfg.PublishStore = slog.New(i.log), store
		c, err := client.Dial(i.Context(), cfg)
		if err != nil {
			i.Fatal(err)
		}
		defer c.Close()
		i.app = c
		i.publish(5)
		if err := c.FlushSafe(i.Context()); err != nil {
			i.Fatal(err)
		}
		i.pair.A.Kill()
		i.pair.B.PowerCut()
		i.pair.B.Wipe()
		i.pair.B.Configure(func(c *server.Config) { c.Bootstrap = true })
		i.pair.B.Restart()
		time.Sleep(3 * time.Hour)
		i.has("publish gap: the server lacks acknowledged messages, and the client does not publish to it", "client=gapped", "b:9007")
		i.has("publish gap: this instance lacks acknowledged messages of the client's publisher", "instance=b", "peer=a", "first=1", "last=", "reason=")
		if n := len(i.lines()) - i.from; n > 60 {
			i.Errorf("%d lines in three hours", n)
		}
	})
}

// A client without any server for an hour writes a few lines.
func TestHourWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		pair := loggedPair(t, h, nil)
		c := loggedClient(t, pair, h, "app")
		cfg := pair.Client("never")
		pair.A.Kill()
		pair.B.Kill()
		cfg.Logger, cfg.StartOffline = slog.New(h), true
		never, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		before := len(linesFrom(h, slog.LevelInfo))
		time.Sleep(time.Hour + time.Minute)
		lines := linesFrom(h, slog.LevelInfo)[before:]
		if len(lines) < 6 || len(lines) >= 50 {
			t.Errorf("an hour of two clients has %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		hasLine(t, lines, "the client is not connected", "client=app", "duration=1h0m")
		hasLine(t, lines, "the client is not connected", "client=never", "duration=1h0m")
		pair.A.Restart()
		pair.B.Restart()
		time.Sleep(time.Minute)
		hasLine(t, linesFrom(h, slog.LevelInfo), "the client is connected", "client=app", "duration=1h1m", "attempts=")
		t.Log("\n" + strings.Join(lines, "\n"))
		c.Close()
		never.Close()
	})
}

// If all instances are linked and no one has the acknowledged messages of a publisher, that is an
// error with its range.
func TestIncidentOldDisks(t *testing.T) {
	runIncident(t, nil, func(i *incident) {
		i.app.Close()
		cfg := i.pair.Client("gapped")
		cfg.Logger, cfg.PublishStore = slog.New(i.log), pubstore.NewMemory(pubstore.MemoryOptions{})
		c, err := client.Dial(i.Context(), cfg)
		if err != nil {
			i.Fatal(err)
		}
		defer c.Close()
		i.app = c
		i.publish(3)
		if err := c.FlushSafe(i.Context()); err != nil {
			i.Fatal(err)
		}
		i.pair.A.Kill()
		i.pair.B.Kill()
		restoreA, restoreB := backup(i.pair.A), backup(i.pair.B)
		i.pair.A.Restart()
		i.pair.B.Restart()
		i.pair.AwaitConverged()
		i.publish(5)
		if err := c.FlushSafe(i.Context()); err != nil {
			i.Fatal(err)
		}
		i.pair.A.Kill()
		i.pair.B.Kill()
		restoreA()
		restoreB()
		i.pair.A.Restart()
		i.pair.B.Restart()
		time.Sleep(time.Hour)
		for _, instance := range []string{"instance=a", "instance=b"} {
			i.has("ERROR", "publish gap: no instance of the group has acknowledged messages of the client's publisher", instance, "have=3", "first=4", "last=8")
		}
	})
}

// backup copies the disk of an instance that does not run. restore puts the copy in place of its
// files.
func backup(i *servertest.Instance) (restore func()) {
	disk, files := diskOf(i), make(map[string][]byte)
	for _, name := range disk.Names() {
		if b, err := disk.ReadFile(name); err == nil {
			files[name] = b
		}
	}
	return func() {
		disk := diskOf(i)
		disk.Wipe()
		for name, b := range files {
			disk.WriteFile(name, b)
		}
	}
}
