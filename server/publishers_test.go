package server_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

var measured = flag.Int("publishers", 0, "measure TestManyPublishers with so many publishers, in real time, on real disks")

// manyPublishers is a number of publishers for which a place is much larger than the longest
// command.
const manyPublishers = 100_000

// writePublishers writes one message of each of n publishers to a topic, into the journal of an
// instance that is not running.
func writePublishers(t *testing.T, i *servertest.Instance, n int, topic string) {
	t.Helper()
	o := journal.Options{FS: diskOf(i), Dir: "data"}
	if *measured > 0 {
		o.FS, o.Dir = seglog.OS, dataOf(t, i)
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	b := j.NewAppendBatch()
	for p := range n {
		id := bookmark.IdentityOfLife(fmt.Sprint("job ", p))
		r := journal.Record{Kind: ledger.Message, Publisher: id.ID, Check: id.Check, Sequence: 1, Topic: []byte(topic), Body: []byte("done")}
		if v, err := b.Append(&r); err != nil || v != ledger.Accepted {
			t.Fatal(v, err)
		}
		b.Notify()
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func dataOf(t *testing.T, i *servertest.Instance) (dir string) {
	i.Configure(func(c *server.Config) { dir = c.Data })
	return dir
}

// A trafficWatch watches the connections of a client: the lengths of frames sent and received, and
// the number of connections.
type trafficWatch struct {
	dial                     func(ctx context.Context, network, address string) (net.Conn, error)
	longest                  atomic.Int64
	sent, received, connects atomic.Int64 // bytes; connects is the number of connections
}

func (w *trafficWatch) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := w.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.connects.Add(1)
	return &watchedConn{Conn: nc, w: w}, nil
}

type watchedConn struct {
	net.Conn
	w       *trafficWatch
	in, out frameLengths
}

// frameLengths finds the lengths of the frames in a stream.
type frameLengths struct {
	prefix []byte
	left   int
}

func (f *frameLengths) add(p []byte, longest *atomic.Int64) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, len(p))
			f.left, p = f.left-n, p[n:]
			continue
		}
		f.prefix, p = append(f.prefix, p[0]), p[1:]
		if len(f.prefix) == 4 {
			f.left, f.prefix = int(binary.BigEndian.Uint32(f.prefix)), f.prefix[:0]
			longest.Store(max(longest.Load(), int64(f.left)))
		}
	}
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.received.Add(int64(n))
	c.in.add(p[:n], &c.w.longest)
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.w.sent.Add(int64(n))
	c.out.add(p[:n], &c.w.longest)
	return n, err
}

// A subscription resumes with a place that names more publishers than fit into a command. It does
// so in a living client, and in a new process whose store has the place from the first answer.
// Publishers without messages for its topics are not in the place.
func TestManyPublishers(t *testing.T) {
	for _, topic := range []string{"orders", "jobs"} {
		t.Run(topic, func(t *testing.T) {
			if *measured > 0 {
				testManyPublishers(t, servertest.New(t, servertest.Real(), servertest.Unstarted(), servertest.Verbose()), *measured, topic)
				return
			}
			synctest.Test(t, func(t *testing.T) {
				testManyPublishers(t, servertest.New(t, servertest.Unstarted()), manyPublishers, topic)
			})
		})
	}
}

func testManyPublishers(t *testing.T, i *servertest.Instance, n int, topic string) {
	took := stopwatch(t)
	writePublishers(t, i, n, topic)
	i.Configure(func(c *server.Config) { c.MaxMessage = 64 << 10 })
	took("journal written")
	i.Restart()
	i.AwaitReady()
	took("server started")
	gw := startClient(t, i.Client("gw"))
	store := filepath.Join(t.TempDir(), "marks.db")
	marks := openMarks(t, store)
	cfg := i.Client("sub")
	line := &trafficWatch{dial: cfg.Dial}
	cfg.Dial, cfg.BookmarkStore = line.Dial, marks
	c := startClient(t, cfg)
	took("connected")
	sub := subscribeNow(t, c)
	took("subscribed")
	publishOne(t, gw, "1")
	receive(t, sub, "1")

	if *measured == 0 {
		i.Kill()
	}
	i.Restart()
	publishOne(t, gw, "2")
	took("killed, restarted, published")
	receive(t, sub, "2")
	took("received by the one that lives")
	if *measured == 0 {
		i.ResetClients()
	}
	publishOne(t, gw, "3")
	receive(t, sub, "3")
	took("dropped, published, received")
	c.Close()
	marks.Close()
	publishOne(t, gw, "4")
	took("closed")

	cfg.BookmarkStore = openMarks(t, store)
	defer cfg.BookmarkStore.Close()
	c = startClient(t, cfg)
	sub = subscribeNow(t, c)
	took("subscribed, as a new process")
	receive(t, sub, "4")
	took("received by it")
	c.Close()
	if *measured > 0 {
		ackTimes(t, i, gw)
	}
	gw.Close()
	t.Logf("%d bytes sent, %d received, on %d connections; the longest frame has %d", line.sent.Load(), line.received.Load(), line.connects.Load(), line.longest.Load())
	if line.longest.Load() > 2*wire.PartBytes {
		t.Errorf("a frame of %d bytes", line.longest.Load())
	}
	if *measured == 0 && line.connects.Load() != 4 {
		t.Errorf("%d connections, want 4", line.connects.Load())
	}
	if topic == "jobs" && line.sent.Load()+line.received.Load() > 64<<10 {
		t.Errorf("%d bytes sent, %d received, although no publisher but one has anything for the subscription", line.sent.Load(), line.received.Load())
	}
}

// ackTimes logs the latency of acks, without and with concurrent requests for the status.
func ackTimes(t *testing.T, i *servertest.Instance, gw *client.Client) {
	for _, polled := range []bool{false, true} {
		stop, stopped := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for ; polled; n++ {
				select {
				case <-stop:
					stopped <- n
					return
				default:
					i.Server().Status()
					i.Server().Publishers(1<<63, 100)
				}
			}
			<-stop
			stopped <- n
		}()
		var took []time.Duration
		for range 300 {
			began := time.Now()
			publishOne(t, gw, "x")
			took = append(took, time.Since(began))
		}
		close(stop)
		n := <-stopped
		slices.Sort(took)
		t.Logf("acks with %d statuses meanwhile: p50 %v, p99 %v", n, took[150], took[297])
	}
}

// stopwatch returns a function that logs the time since its last call, if measured is set.
func stopwatch(t *testing.T) func(what string) {
	began := time.Now()
	return func(what string) {
		if *measured > 0 {
			t.Logf("%-35s %v", what, time.Since(began).Round(time.Millisecond))
		}
		began = time.Now()
	}
}

func openMarks(t *testing.T, path string) *bookmarkstore.Bolt {
	t.Helper()
	marks, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return marks
}

func startClient(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// subscribeNow subscribes to orders, the first time from Now.
func subscribeNow(t *testing.T, c *client.Client) *client.Subscription {
	t.Helper()
	sub, err := c.Subscribe(t.Context(), "orders", client.From(client.MostRecentOr(client.Now)), client.ID("orders"))
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func publishOne(t *testing.T, c *client.Client, body string) {
	t.Helper()
	if _, err := c.Publish(t.Context(), "orders", []byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// receive reads one message and checks its body.
func receive(t *testing.T, sub *client.Subscription, body string) {
	t.Helper()
	for m, err := range sub.Messages(t.Context()) {
		if err != nil || string(m.Body) != body {
			t.Fatalf("got %v (%v), want %s", m, err, body)
		}
		if err := m.Discard(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the subscription has ended")
}
