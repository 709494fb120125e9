package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/cable"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

// A traffic says how many messages each of two publishers sends.
type traffic struct {
	rate int // messages per second
	size int // bytes of a message
}

// A world is a pair with its clients.
type world struct {
	dir       string
	pair      pair.Pair
	cables    []*cable.Cable
	fleet     fleet.Fleet
	slow      atomic.Bool // the subscriber reads slowly
	recording *recording
	clients   []*client.Client
	logs      [2]*os.File        // of clients, in the order of clientLogs
	filling   context.CancelFunc // nil: nothing fills the disk

	running sync.WaitGroup
}

// The files for the logs of clients.
const (
	publisherLog = iota
	subscriberLog
)

var clientLogs = [...]string{publisherLog: "publisher.log", subscriberLog: "subscriber.log"}

// record records an incident. dir is removed at the end.
func (in *incident) record(ctx context.Context, o options, dir, binary string) (_ *recording, err error) {
	ctx, stop := context.WithCancel(ctx)
	w := &world{dir: dir, recording: newRecording()}
	defer os.RemoveAll(dir)
	defer func() {
		stop()
		w.close()
		if o.logs != "" {
			err = errors.Join(err, w.keepLogs(filepath.Join(o.logs, in.name)))
		}
	}()
	if err := w.start(ctx, in, binary); err != nil {
		return nil, err
	}
	if in.setUp != nil {
		if err := in.setUp(ctx, w); err != nil {
			return nil, err
		}
		if err := w.pair.AwaitSync(ctx); err != nil {
			return nil, err
		}
		if err := sleep(ctx, 2*time.Second); err != nil {
			return nil, err
		}
	}
	w.recording.began = time.Now()
	scraped, end := context.WithCancel(ctx)
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.recording.scrape(scraped, w.pair)
	}()
	err = in.run(ctx, w)
	end()
	<-done
	return w.recording, err
}

// start starts the pair and its clients.
func (w *world) start(ctx context.Context, in *incident, binary string) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	if err := w.openLogs(); err != nil {
		return err
	}
	o := pair.Options{Command: []string{binary}, PeerAddress: w.connect}
	if in.config != nil {
		var err error
		if o.Config, err = in.config(w.dir); err != nil {
			return err
		}
	}
	var err error
	if w.pair, err = pair.Start(ctx, w.dir, o); err != nil {
		return err
	}
	w.fleet, err = fleet.New([]string{"orders", "prices"}, w.pair.URIs(), func(name string, servers []string) (*fleet.Publisher, error) {
		return fleet.NewPublisher(ctx, name, w.dir, servers, client.Config{Name: name, Logger: w.logger(publisherLog)})
	})
	if err != nil {
		return err
	}
	for _, p := range w.fleet {
		w.running.Go(func() { publish(ctx, p, in.traffic) })
	}
	for _, name := range []string{"billing", "archive"} {
		if err := w.subscribe(ctx, name, name == "archive"); err != nil {
			return err
		}
	}
	return nil
}

// connect puts a cable between the instances.
func (w *world) connect(_, _, address string) (string, error) {
	c, err := cable.New(address)
	if err != nil {
		return "", err
	}
	w.cables = append(w.cables, c)
	return c.Address(), nil
}

func (w *world) setCut(cut bool) {
	for _, c := range w.cables {
		c.SetCut(cut)
	}
}

// publish sends messages until ctx ends.
func publish(ctx context.Context, p *fleet.Publisher, t traffic) {
	ticks := time.NewTicker(time.Second / time.Duration(t.rate))
	defer ticks.Stop()
	body := make([]byte, t.size)
	for n := 0; ctx.Err() == nil; n++ {
		copy(body, fmt.Sprintf(`{"n":%d}`, n))
		_ = p.Publish(ctx, p.Name, fmt.Sprint(n), body) // a full store refuses it; the next one may fit
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
	}
}

// subscribe starts a subscriber of all messages. One of them can be made to read slowly.
func (w *world) subscribe(ctx context.Context, name string, maySlow bool) error {
	cfg := client.Config{Name: name, Servers: w.pair.URIs(), Logger: w.logger(subscriberLog)}
	if maySlow {
		cfg.Dial = w.dialSlow
	}
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	w.clients = append(w.clients, c)
	sub, err := c.Subscribe(ctx, ".*", client.From(client.Now), client.ID(name))
	if err != nil {
		return err
	}
	w.running.Go(func() { _ = sub.Handle(ctx, func(*client.Message) error { return nil }) })
	return nil
}

// dialSlow dials a connection that reads slowly while the world says so.
func (w *world) dialSlow(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &slowConn{nc, &w.slow}, nil
}

const (
	slowPiece = 32 << 10 // bytes of one read
	// slowRate is in bytes per second. Linux lets a writer go on once a third of its socket's buffer of
	// some megabytes is free. At a much lower rate that takes longer than the ten seconds after which
	// the server ends the session.
	slowRate = 512 << 10
)

// A slowConn reads at slowRate while slow is true.
type slowConn struct {
	net.Conn
	slow *atomic.Bool
}

func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), slowPiece)])
	if c.slow.Load() {
		time.Sleep(time.Duration(n) * time.Second / slowRate)
	}
	return n, err
}

// during begins a fault after a calm time and ends it after d, and lets another calm time pass.
func (w *world) during(ctx context.Context, d time.Duration, begin, end func() error) error {
	if err := sleep(ctx, calm); err != nil {
		return err
	}
	w.recording.mark("fault")
	if err := begin(); err != nil {
		return err
	}
	if err := sleep(ctx, d); err != nil {
		return err
	}
	w.recording.mark("repair")
	if err := end(); err != nil {
		return err
	}
	return sleep(ctx, 2*calm)
}

// fill writes a file until ctx or empty ends it.
func (w *world) fill(ctx context.Context, rate int) {
	ctx, w.filling = context.WithCancel(ctx)
	w.running.Go(func() {
		f, err := os.Create(w.filler())
		if err != nil {
			return
		}
		defer f.Close()
		for piece := make([]byte, rate/4); sleep(ctx, time.Second/4) == nil; {
			if _, err := f.Write(piece); err != nil {
				return
			}
		}
	})
}

func (w *world) filler() string { return filepath.Join(w.dir, "filler") }

// empty ends fill and removes its file.
func (w *world) empty() error {
	w.filling()
	return os.Remove(w.filler())
}

// whileStopped stops both instances, calls do for each, and starts them again.
func (w *world) whileStopped(ctx context.Context, stop, do func(*pair.Instance) error) error {
	for _, in := range w.pair {
		if err := stop(in); err != nil {
			return err
		}
	}
	for _, in := range w.pair {
		if err := do(in); err != nil {
			return err
		}
	}
	return w.pair.Start(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) close() {
	for _, c := range w.clients {
		c.Close()
	}
	w.running.Wait()
	w.fleet.Close()
	w.pair.Close()
	for _, c := range w.cables {
		c.Close()
	}
	for _, f := range w.logs {
		if f != nil {
			f.Close()
		}
	}
}

// openLogs creates the files for the logs of clients.
func (w *world) openLogs() (err error) {
	for i, name := range clientLogs {
		if w.logs[i], err = os.Create(filepath.Join(w.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// logger returns a logger that writes to one of the files of openLogs.
func (w *world) logger(log int) *slog.Logger {
	return slog.New(slog.NewTextHandler(w.logs[log], nil))
}

// keepLogs copies the logs of the instances and of their clients into a new directory.
func (w *world) keepLogs(to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, in := range w.pair {
		if in != nil { // it was started
			errs = append(errs, copyAll(in.Log(), filepath.Join(to, in.Name+".log")))
		}
	}
	for _, name := range clientLogs {
		errs = append(errs, copyAll(filepath.Join(w.dir, name), filepath.Join(to, name)))
	}
	return errors.Join(errs...)
}
