package failover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
	"github.com/holdfast-mq/holdfast/internal/proof/timeline"
)

// timePerFault is the time that publishing is spread over, for each fault.
const timePerFault = 4500 * time.Millisecond

// A run is one execution of the main job.
type run struct {
	options
	*timeline.Timeline
	events     []event
	pair       pair.Pair
	servers    []string // URIs, in the order of the pair
	fleet      fleet.Fleet
	subscriber *subscriber
	faults     []fault
	mu         sync.Mutex
	unread     []*os.File     // pipes without a reader; guarded by mu
	running    sync.WaitGroup // goroutines that end with the context

	faultsDone        int            // faults that happened
	restarts          []<-chan error // one for each instance that is on its way back
	gaps, hurriedGaps []time.Duration
}

// newRun draws the faults of a run.
func newRun(o options, events []event) *run {
	return &run{options: o, Timeline: timeline.New(), events: events,
		faults: schedule(rand.New(rand.NewPCG(o.seed, 0)), o.kills, o.rounds*len(events))}
}

// start starts the pair, the subscriber and the publishers. After an error close ends
// those that were started.
func (r *run) start(ctx context.Context, dir string, command []string) (err error) {
	if r.pair, err = pair.Start(ctx, dir, pair.Options{Command: command, Stderr: r.openStderr()}); err != nil {
		return err
	}
	r.servers = r.pair.URIs()
	r.Printf("a serves at %s, b at %s, in sync", r.pair[0].ClientAddress, r.pair[1].ClientAddress)
	r.subscriber = newSubscriber(dir, r.servers)
	if err := r.subscriber.start(); err != nil {
		return err
	}
	if r.fleet, err = newFleet(ctx, networks(r.events), dir, r.servers, r.Timeline); err != nil {
		return err
	}
	r.Printf("%d publishers and the subscriber are connected; %d messages to publish", len(r.fleet), r.rounds*len(r.events))
	return nil
}

// publishUnderFaults publishes everything while the faults fire.
func (r *run) publishUnderFaults(ctx context.Context) error {
	duration := timePerFault * time.Duration(max(1, len(r.faults)))
	published := make(chan error, 1)
	r.running.Go(func() { published <- publishAll(ctx, r.fleet, r.events, r.rounds, duration) })
	for _, f := range r.faults {
		if err := r.awaitFault(ctx, f); err != nil {
			return err
		}
		if err := r.injectFault(ctx, f); err != nil {
			return err
		}
		r.faultsDone++
	}
	if err := r.awaitRestarts(); err != nil {
		return err
	}
	for {
		select {
		case err := <-published:
			return err
		case <-time.After(100 * time.Millisecond):
			r.showProgress()
		}
	}
}

func (r *run) showProgress() {
	r.Progress(r.fleet.Acknowledged(), r.rounds*len(r.events), fmt.Sprintf("acknowledged, %d delivered", r.subscriber.handed.Load()))
}

// awaitFault waits until the fault is due and, unless it is apart, the pair in sync.
func (r *run) awaitFault(ctx context.Context, f fault) error {
	err := r.pollUntil(ctx, func() bool { return r.fleet.Acknowledged() > f.after })
	if err != nil || f.hurried {
		return err
	}
	if err := r.awaitRestarts(); err != nil {
		return err
	}
	return r.pair.AwaitSync(ctx)
}

// pollUntil polls a condition; the subscriber's own death ends it.
func (r *run) pollUntil(ctx context.Context, condition func() bool) error {
	for n := 0; !condition(); n++ {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := r.subscriber.Err(); err != nil {
			return err
		}
		if n%50 == 0 {
			r.showProgress()
		}
	}
	return nil
}

// injectFault makes one fault and waits for the recovery.
func (r *run) injectFault(ctx context.Context, f fault) error {
	if f.kind == killSubscriber {
		return r.restartSubscriber(ctx, f)
	}
	victim := r.victim()
	in := r.pair[victim]
	if !in.Alive() {
		return fmt.Errorf("instance %s is not running: no fault can be made", in.Name)
	}
	sessions, resent := r.fleet.Sessions(r.servers[victim]), r.fleet.Resent()
	also := ""
	if r.subscriber.server.Load() == r.servers[victim] {
		also = " and the subscriber"
	}
	counts, handed, acknowledged := r.fleet.PublishedCounts(), r.subscriber.handed.Load(), r.fleet.Acknowledged()
	action, revive, err := r.disable(in, f)
	if err != nil {
		return err
	}
	at := time.Now()
	r.Printf("%s %s: %d publishers%s were on it, %d messages acknowledged so far", action, in.Name, sessions, also, acknowledged)
	revived := make(chan error, 1)
	r.restarts = append(r.restarts, revived)
	r.running.Go(func() { revived <- r.restartLater(ctx, in, f, revive) })
	return r.awaitRecovery(ctx, f, at, counts, handed, resent)
}

// awaitRestarts waits for the instances that are on their way back.
func (r *run) awaitRestarts() error {
	for _, revived := range r.restarts {
		if err := <-revived; err != nil {
			return err
		}
	}
	r.restarts = nil
	return nil
}

// victim returns the instance with most sessions.
func (r *run) victim() int {
	var n [2]int
	for i, server := range r.servers {
		n[i] = r.fleet.Sessions(server)
		if r.subscriber.server.Load() == server {
			n[i]++
		}
	}
	if n[1] > n[0] || n[1] == n[0] && r.pair[1].Alive() && !r.pair[0].Alive() {
		return 1
	}
	return 0
}

// disable kills or stops an instance; revive undoes it.
func (r *run) disable(in *pair.Instance, f fault) (action string, revive func(context.Context) error, err error) {
	if f.kind == stopInstance {
		return "SIGSTOP", func(context.Context) error { return in.Resume() }, in.Suspend()
	}
	return "kill -9", in.Start, in.Kill()
}

func (r *run) restartLater(ctx context.Context, in *pair.Instance, f fault, revive func(context.Context) error) error {
	select {
	case <-time.After(f.downtime):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	start := time.Now()
	if err := revive(ctx); err != nil {
		return err
	}
	r.Printf("%s is back after %v, %v of it to start and catch up", in.Name,
		(f.downtime + time.Since(start)).Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	return nil
}

// awaitRecovery waits for the next acknowledged message and the next delivery of a
// message published after the fault, and prints how long they took.
func (r *run) awaitRecovery(ctx context.Context, f fault, at time.Time, counts []int, handed int64, resent int) error {
	if err := r.pollUntil(ctx, func() bool { return r.fleet.AckedSince(counts, (*fleet.Publisher).Acknowledged) }); err != nil {
		return err
	}
	gap := time.Since(at)
	if f.hurried {
		r.hurriedGaps = append(r.hurriedGaps, gap)
	} else {
		r.gaps = append(r.gaps, gap)
	}
	r.Printf("  next acknowledged message after %v, %d sent again", gap.Round(time.Millisecond), r.fleet.Resent()-resent)
	if err := r.pollUntil(ctx, func() bool { return r.subscriber.handed.Load() > handed }); err != nil {
		return err
	}
	r.Printf("  next delivery within %v", time.Since(at).Round(time.Millisecond))
	return nil
}

func (r *run) restartSubscriber(ctx context.Context, f fault) error {
	handed := r.subscriber.handed.Load()
	if err := r.subscriber.kill(); err != nil {
		return err
	}
	at := time.Now()
	r.Printf("kill -9 the subscriber: %d messages handed to it so far", handed)
	select {
	case <-time.After(f.downtime):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := r.subscriber.start(); err != nil {
		return err
	}
	if err := r.pollUntil(ctx, func() bool { return r.subscriber.handed.Load() > handed }); err != nil {
		return err
	}
	r.Printf("  next delivery after %v", time.Since(at).Round(time.Millisecond))
	return nil
}

// finish drains, stops everything and reads the disks.
func (r *run) finish(ctx context.Context) (report, error) {
	rep := report{gaps: r.gaps, hurriedGaps: r.hurriedGaps, faults: r.faultsDone, plannedFaults: len(r.faults), deadReader: r.stderr == "dead"}
	r.Printf("everything is published; waiting until it is safe")
	if err := r.pair.AwaitSync(ctx); err != nil {
		return rep, err
	}
	if err := r.fleet.Drain(ctx); err != nil {
		return rep, err
	}
	r.Printf("all is safe; waiting for the subscriber")
	rep.published = r.fleet.Keys()
	r.awaitDelivered(ctx, rep.published.Len())
	r.ClearBar()
	for _, in := range r.pair {
		status, _ := in.Status()
		rep.dropped = append(rep.dropped, status.LogDropped)
	}
	if err := r.subscriber.kill(); err != nil {
		return rep, err
	}
	for _, in := range r.pair {
		if err := in.Stop(); err != nil {
			return rep, err
		}
	}
	rep.handedOver = int(r.subscriber.handed.Load())
	var err error
	if rep.delivered, err = readReceived(r.subscriber.database); err != nil {
		return rep, err
	}
	if rep.a, err = fleet.ReadJournal(r.pair[0].Journal(), keyOf); err != nil {
		return rep, err
	}
	rep.b, err = fleet.ReadJournal(r.pair[1].Journal(), keyOf)
	return rep, err
}

// awaitDelivered waits until the subscriber has been handed as many messages as were
// published, and no more for two seconds. The verdict reports missing ones.
func (r *run) awaitDelivered(ctx context.Context, published int) {
	last, since := int64(-1), time.Now()
	r.pollUntil(ctx, func() bool {
		n := r.subscriber.handed.Load()
		if n != last {
			last, since = n, time.Now()
		}
		quiet := time.Since(since)
		return n >= int64(published) && quiet > 2*time.Second || quiet > 20*time.Second
	})
}

// close ends whatever still runs. The context must have ended.
func (r *run) close() {
	r.running.Wait()
	r.fleet.Close()
	if r.subscriber != nil && r.subscriber.Running() {
		r.subscriber.kill()
	}
	r.pair.Close()
	for _, f := range r.unread {
		f.Close()
	}
}
