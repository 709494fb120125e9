package breakit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/cable"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

const (
	publishers  = 4
	subscribers = 2
	logLines    = 200 // that are remembered
	faultLines  = 50
)

// A world is the pair with its traffic, and all that is done to it.
type world struct {
	dir         string
	start       time.Time
	print       func(line string) // called with each line of the log
	pair        pair.Pair
	cable       []*cable.Cable
	fleet       fleet.Fleet
	subscribers []*subscriber
	gate        gate
	wipedBoth   atomic.Bool        // a disk was wiped while the other lacked something
	stop        context.CancelFunc // ends everything below
	running     sync.WaitGroup

	mu      sync.Mutex
	states  [2]instanceState // guarded by mu
	cut     bool             // guarded by mu
	log     []string         // guarded by mu
	faults  []*fault         // guarded by mu
	failure error            // guarded by mu: why the traffic ended by itself
}

// An instanceState is the known state of one instance.
type instanceState struct {
	activity string // the running action, empty: none
	status   pair.Status
	answers  bool // it answers
	wiped    bool // its disk was wiped, and may not have caught up yet
}

// newWorld starts everything below dir; command runs an instance.
func newWorld(ctx context.Context, dir string, command []string, rate int, print func(string)) (*world, error) {
	ctx, stop := context.WithCancel(ctx)
	w := &world{dir: dir, start: time.Now(), print: print, stop: stop}
	if err := w.startAll(ctx, command, rate); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// startAll starts the pair, then its clients. After an error close ends those that were
// started.
func (w *world) startAll(ctx context.Context, command []string, rate int) (err error) {
	if w.pair, err = pair.New(w.dir, pair.Options{Command: command, PeerAddress: w.proxyAddress}); err != nil {
		return err
	}
	w.logf("starting a and b")
	if err := w.pair.Start(ctx); err != nil {
		return err
	}
	w.logf("a and b are in sync")
	if err := w.connectClients(ctx); err != nil {
		return err
	}
	for _, p := range w.fleet {
		w.running.Go(func() { w.noteFailure(publish(ctx, p, rate, &w.gate)) })
	}
	for i := range w.pair {
		w.running.Go(func() { w.pollStatus(ctx, i) })
	}
	return nil
}

// proxyAddress puts the cable between the instances.
func (w *world) proxyAddress(_, _, address string) (string, error) {
	p, err := cable.New(address)
	if err != nil {
		return "", err
	}
	w.cable = append(w.cable, p)
	return p.Address(), nil
}

// connectClients connects the clients.
func (w *world) connectClients(ctx context.Context) (err error) {
	servers := w.pair.URIs()
	var names []string
	for n := range publishers {
		names = append(names, fmt.Sprintf("p%d", n+1))
	}
	w.fleet, err = fleet.New(names, servers, func(name string, servers []string) (*fleet.Publisher, error) {
		return fleet.NewPublisher(ctx, name, w.dir, servers, client.Config{
			Name:  "publisher-" + name,
			Hooks: client.Hooks{FailedWrite: func(e *client.RejectedError) { w.noteFailure(e) }},
		})
	})
	if err != nil {
		return err
	}
	w.logf("%d publishers are connected", publishers)
	for n := range subscribers {
		s, err := newSubscriber(ctx, fmt.Sprintf("s%d", n+1), w.dir, slices.Clone(servers))
		if err != nil {
			return err
		}
		w.subscribers = append(w.subscribers, s)
		w.logf("subscriber %s is connected", s.name)
		servers[0], servers[1] = servers[1], servers[0]
	}
	return nil
}

// pollStatus asks an instance how it is, again and again.
func (w *world) pollStatus(ctx context.Context, i int) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		status, known := w.pair[i].Status()
		w.mu.Lock()
		w.states[i].status, w.states[i].answers = status, known
		w.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// logf adds a line to the log.
func (w *world) logf(format string, args ...any) {
	line := fmt.Sprintf("%7.1fs  %s", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...))
	w.mu.Lock()
	w.log = append(w.log, line)
	w.log = w.log[max(0, len(w.log)-logLines):]
	w.mu.Unlock()
	w.print(line)
}

// noteFailure notes why the traffic can't go on.
func (w *world) noteFailure(err error) {
	if err == nil || errors.Is(err, client.ErrClosed) {
		return
	}
	w.logf("FAILED: %v", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failure = errors.Join(w.failure, err)
}

// err returns why the traffic has ended by itself.
func (w *world) err() error {
	w.mu.Lock()
	err := w.failure
	w.mu.Unlock()
	for _, s := range w.subscribers {
		_, _, serr := s.counts()
		err = errors.Join(err, serr)
	}
	for _, in := range w.pair {
		err = errors.Join(err, in.UnexpectedExit())
	}
	return err
}

// close ends whatever still runs.
func (w *world) close() {
	w.stop()
	w.gate.release()
	w.running.Wait()
	w.fleet.Close()
	for _, s := range w.subscribers {
		s.close()
	}
	w.pair.Close()
	for _, p := range w.cable {
		p.Close()
	}
}

// removeJournal removes an instance's journal.
func (w *world) removeJournal(i int) error { return os.RemoveAll(filepath.Clean(w.pair[i].Journal())) }
