package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// ErrClosed is the cause with which links end when their instance stops.
var ErrClosed = errors.New("links are closed")

// Links are an instance's links to its peers. They are safe for concurrent use.
type Links struct {
	o Options
	clock
	lifetime
	ready      chan struct{}
	wake       signal.Signal // makes watch call step
	rejoining  atomic.Bool   // some peer is still awaited
	dests      []*peer       // as configured; the order is that of watermarks
	scratch    scratch
	syncStatus atomic.Uint32 // a syncstatus.Status; changed with mu held

	mu         sync.Mutex
	closed     bool
	peers      map[string]*peer // destinations, and peers that may dial us; the map does not change
	watermarks *Watermarks
	forgetting
	connections
	startup
	notices
	decrees
	heldPublishes
	schedule
}

// forgetting is the state that AgreeToForget keeps from one call to the next. It is guarded by
// Links.mu.
type forgetting struct {
	agreed  []bookmark.Bookmark // publishers that the journal may have forgotten since
	leaving bookmark.Vector     // publishers that all instances are about to forget, each with its have; replaced, never changed
}

// A lifetime holds the context and the goroutines of the links, and the progress of the instance's
// stop.
type lifetime struct {
	ctx  context.Context // ends when Close is called
	stop context.CancelFunc
	wg   sync.WaitGroup // the goroutines

	stopping stopState
}

// A clock counts the time since the links began.
type clock struct {
	began  time.Time
	source func() time.Time // Options.Now; nil: the time of the process
}

// now returns the time since the links began. It runs for every record, so it reads only the
// monotonic clock.
func (c *clock) now() time.Duration {
	if c.source != nil {
		return c.source().Sub(c.began)
	}
	return time.Since(c.began)
}

// A scratch is memory that Durable reuses.
type scratch struct {
	publishers []uint64
	conns      []*conn
}

// connections are the open connections.
type connections struct {
	conns   []*conn      // those whose peer is known, in the order of arrival; guarded by Links.mu
	pending pendingConns // the others
}

// startup is the state until Ready is closed. It is guarded by Links.mu.
type startup struct {
	rejoin          *Rejoin
	serving         bool    // ready is closed, or will be unless the repair fails
	outcome         Outcome // of rejoin, at the last step
	member          membership
	metOtherCluster bool // a peer is of another cluster
	// announcedIntact: the instance has become intact since the start, other than by founding a group
	announcedIntact bool
}

// notices are the notices that were sent and wait for answers. They are guarded by Links.mu.
type notices struct {
	pendingNotices map[uint64]*pendingNotice // by number
	lastNotice     uint64
}

// A schedule says when watch calls step next. It is guarded by Links.mu.
type schedule struct {
	nextStepAt      time.Duration // when it calls step by itself; negative: never
	lastAbsentCheck time.Duration // when step last checked the absent destinations
	deferred        []func()      // work to be done by unlockAndNotify, without mu, in order
	workingOff      bool          // a goroutine is doing deferred work
}

// Start starts linking. The instance may serve clients when Ready is closed. After Start has
// returned, Appended and Durable must be called for every event of the journal. An event before
// that may be missed.
func Start(o Options) (*Links, error) {
	l, err := newLinks(o)
	if err != nil {
		return nil, err
	}
	if o.OnStart != nil {
		o.OnStart(l)
	}
	l.run()
	return l, nil
}

// newLinks returns Links without goroutines.
func newLinks(o Options) (*Links, error) {
	source := o.Now
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	l := &Links{
		o: o, clock: clock{o.Now(), source},
		ready: make(chan struct{}), wake: signal.New(),
		peers:   make(map[string]*peer),
		startup: startup{rejoin: NewRejoin(o.RejoinTimeout, o.Journal.Damage() != nil)},
		notices: notices{pendingNotices: make(map[uint64]*pendingNotice)},
		decrees: decrees{decreeRounds: make(map[uint64]*decreeRound)},
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.rejoining.Store(true)
	if err := l.prepare(); err != nil {
		l.stop()
		return nil, fmt.Errorf("replica: %w", err)
	}
	return l, nil
}

// prepare adds the peers and prepares the journal for linking.
func (l *Links) prepare() error {
	if err := l.addDestinations(); err != nil {
		return err
	}
	l.syncStatus.Store(uint32(l.syncStatusLocked()))
	l.closeStaleIntervals()
	if err := l.foundClusterAlone(); err != nil {
		return err
	}
	l.rejoin.intact = l.Intact()
	if l.Lone() {
		return nil
	}
	return l.o.Journal.MergeAside()
}

func (o *Options) validate() error {
	switch {
	case o.Journal == nil:
		return errors.New("option Journal is missing")
	case o.Name == "" || o.Group == "":
		return errors.New("option Name or Group is missing")
	}
	o.RejoinTimeout = cmp.Or(max(o.RejoinTimeout, 0), 10*time.Second)
	o.Heartbeat = cmp.Or(max(o.Heartbeat, 0), 500*time.Millisecond)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wall == nil {
		o.Wall = o.Now
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	return o.defaultHold()
}

func (o *Options) defaultHold() error {
	if o.HoldBytes > 0 || len(o.Destinations) == 0 {
		return nil
	}
	free, _, err := o.Journal.Space()
	if err != nil {
		return fmt.Errorf("measure the free disk space: %w", err)
	}
	o.HoldBytes = max(free/2, 1)
	return nil
}

func (l *Links) addDestinations() error {
	have, diverged, roles := haveVector(l.o.Journal.States()), l.o.Journal.AllDiverged(), storedRoles(l.o.Journal)
	lost := l.o.Journal.Decree().Lost
	syncs := make([]bool, 0, len(l.o.Destinations))
	for _, d := range l.o.Destinations {
		p, err := newDestination(d, len(l.dests))
		if err != nil {
			return err
		}
		for publisher := range diverged {
			p.progress.Acked(maxBookmark(publisher))
		}
		p.progress.Begin(l.o.RejoinTimeout, have)
		// It is not known how much the destination had acknowledged before this process started, so
		// records that were in the journal then are not kept for it.
		p.neededFrom = l.o.Journal.End()
		if err := l.addPeer(p, roles, lost); err != nil {
			return err
		}
		l.dests = append(l.dests, p)
		syncs = append(syncs, d.Sync)
	}
	if l.Lone() {
		syncs = nil
	}
	l.watermarks = NewWatermarks(syncs)
	for _, name := range l.o.Peers {
		if err := l.addPeer(&peer{name: name, index: -1, reason: "has not dialled yet"}, roles, lost); err != nil {
			return err
		}
	}
	return nil
}

// addPeer adds a peer. The start waits for it if it replicates here.
func (l *Links) addPeer(p *peer, roles map[string]linkRole, lost []string) error {
	if p.name == "" || p.name == l.o.Name || l.peers[p.name] != nil {
		return fmt.Errorf("destination or peer %q: its name is missing or used twice", p.name)
	}
	l.peers[p.name] = p
	p.states.down.BeginOutage(0)
	if p.role = roles[p.name]; p.delaysStart() && !slices.Contains(lost, p.name) {
		l.rejoin.Await(p.name, p.dest.Sync)
	}
	return nil
}

// run starts the goroutines. A lone instance has none.
func (l *Links) run() {
	l.step() // if no peer is awaited, the links are ready at once
	if l.o.Listener != nil {
		l.wg.Go(l.accept)
	}
	for _, p := range l.dests {
		if p.dest.Address != "" {
			l.wg.Go(func() { l.dial(p) })
		}
	}
	if !l.Lone() {
		l.wg.Go(l.watch)
	}
}

// Lone reports whether the instance has no peers at all.
func (l *Links) Lone() bool { return l.o.Listener == nil && len(l.dests) == 0 }

// Close ends all links and waits for their goroutines. Its error is that of closing the listener.
func (l *Links) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	conns := slices.Clone(l.conns)
	l.mu.Unlock()
	conns = append(conns, l.pending.close()...)

	l.stop()
	var err error
	if l.o.Listener != nil {
		if err = l.o.Listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	for _, c := range conns {
		c.closeWith(ErrClosed)
	}
	l.wg.Wait()
	if !again {
		l.closeOpenIntervals()
	}
	return err
}

// Ready is closed once this instance has all messages that its peers' hellos covered, or once
// RejoinTimeout has passed without progress (R6). Without a peer to wait for it is closed at once.
// If the journal is damaged, it is closed only after the journal has been repaired (R8).
func (l *Links) Ready() <-chan struct{} { return l.ready }

// CatchingUp reports whether Ready was closed before the instance had caught up, and it still has
// not.
func (l *Links) CatchingUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serving && l.outcome != CaughtUp && !failpoint.On(failpoint.R6OpenNotReported)
}

// Appended tells the links of a record in the journal, or of the last one of several records of a
// publisher. It is meant for journal.Options.OnAppend. It does not block.
func (l *Links) Appended(publisher, sequence uint64) {
	rejoining := l.rejoining.Load()
	if len(l.dests) == 0 && !rejoining {
		return
	}
	now, b := l.now(), bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
	for _, p := range l.dests {
		l.appended(p, now, b)
	}
	if !rejoining {
		return
	}
	l.mu.Lock()
	wake := l.rejoin.Appended(now, b)
	l.mu.Unlock()
	if wake {
		l.wakeWatch()
	}
}

// appended wakes the sender of a destination for an appended record. If nothing else waits for the
// destination's ack, the record is sent inline; otherwise it is batched with the others.
func (l *Links) appended(p *peer, now time.Duration, b bookmark.Bookmark) {
	l.mu.Lock()
	first, c := p.progress.Appended(now, b), p.conn
	wake := first && p.dest.Sync && l.stepsTooLateLocked(p)
	l.mu.Unlock()
	if wake {
		l.wakeWatch()
	}
	switch {
	case c == nil || c.peerHas(b):
	case first && p.dest.Sync:
		c.out.WriteInline()
	default:
		c.out.Wake()
	}
}

// stepsTooLateLocked reports whether watch would by itself call step after p's downgrade is due.
func (l *Links) stepsTooLateLocked(p *peer) bool {
	since, waiting := l.oldestSinceLocked(p)
	due, ok := p.ack.Due(since, waiting, l.mayDowngradeLocked(p))
	return ok && (l.nextStepAt < 0 || due < l.nextStepAt && !failpoint.On(failpoint.R5DowngradeNotReplanned))
}

// Durable tells the links of an fsync. It is meant for journal.Options.OnDurable. It queues the
// fsynced sequences as link acks for the peers and reports the watermarks. idle says that nothing
// was appended meanwhile, so the caller has time to write a link ack itself.
func (l *Links) Durable(moved []journal.Advance, idle bool) {
	if len(moved) == 0 {
		return
	}
	publishers, conns := l.scratch.publishers[:0], l.scratch.conns[:0]
	l.mu.Lock()
	for _, m := range moved {
		publishers = append(publishers, m.Publisher)
		for _, c := range l.conns {
			c.ackLocked(bookmark.Bookmark(m))
		}
		l.extendIntervalsLocked(m.Publisher, m.Sequence)
	}
	conns = append(conns, l.conns...)
	l.mu.Unlock()
	l.notifyWatermarks(publishers)
	for _, c := range conns {
		if idle && len(moved) == 1 {
			c.out.WriteInline()
		} else {
			c.out.Wake()
		}
	}
	clear(conns)
	l.scratch = scratch{publishers, conns}
}

// notifyWatermarks reports that watermarks of these publishers may have moved. Nil stands for all
// publishers.
func (l *Links) notifyWatermarks(publishers []uint64) {
	if l.o.OnWatermark != nil {
		l.o.OnWatermark(publishers)
	}
}

// wakeWatch makes the watch goroutine call step.
func (l *Links) wakeWatch() { l.wake.Set() }

// durable returns durable(p).
func (l *Links) durable(publisher uint64) uint64 {
	s, _ := l.o.Journal.State(publisher)
	return s.Durable
}

// Safe returns safe(p).
func (l *Links) Safe(publisher uint64) uint64 {
	safe, _ := l.Watermarks(publisher)
	return safe
}

// Watermarks returns safe(p) and settled(p) of the same moment. Two separate calls could return
// different numbers while acks arrive, as if a destination were left out.
func (l *Links) Watermarks(publisher uint64) (safe, settled uint64) {
	local := l.durable(publisher)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.capAtDivergence(publisher, l.watermarks.Safe(publisher, local)), l.capAtDivergence(publisher, l.watermarks.Settled(publisher, local))
}

// Single reports whether acks are of level single at the moment: a sync destination is downgraded,
// or the instance is not lone and has no sync destination.
func (l *Links) Single() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watermarks.Single()
}

// ExpectSettled notes that something waits from now on for the message to be settled: a replayed
// duplicate, or a logon that is held back (R5).
func (l *Links) ExpectSettled(publisher, sequence uint64) {
	if l.o.Journal.Diverged(publisher) > 0 {
		return // no peer will acknowledge it
	}
	now, wake := l.now(), false
	l.mu.Lock()
	for _, p := range l.dests {
		if !p.dest.Sync || p.ack.Downgraded() || l.watermarks.Durable(p.index, publisher) >= sequence {
			continue
		}
		if p.progress.Awaited(now, bookmark.Bookmark{Publisher: publisher, Sequence: sequence}) {
			wake = true
		}
	}
	l.mu.Unlock()
	if wake {
		l.wakeWatch()
	}
}

// Reachable reports whether any peer is connected, or will be at once (see crossingLocked).
func (l *Links) Reachable() bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.conn != nil || l.crossingLocked(p, now) {
			return true
		}
	}
	return false
}

// linkedLocked returns the connections of the connected peers.
func (l *Links) linkedLocked() (conns []*conn) {
	for _, p := range l.peers {
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	return conns
}

// CarriedTopics returns the topic patterns that every sync destination carries. Nil means all
// topics, also on a lone instance. Without a sync destination it is empty.
func (l *Links) CarriedTopics() []string {
	switch {
	case l.Lone():
		return nil
	case l.watermarks.syncs == 0:
		return []string{}
	}
	var carried []string
	for _, p := range l.dests {
		switch {
		case !p.dest.Sync, p.topics == nil:
		case carried == nil:
			carried = slices.Clone(p.topics)
		default:
			carried = slices.DeleteFunc(carried, func(t string) bool { return !slices.Contains(p.topics, t) })
		}
	}
	return carried
}

// MustKeep reports whether a destination still needs a segment with these highest sequences (R2,
// R5). It is meant for journal.Retention.
func (l *Links) MustKeep(highest bookmark.Vector) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.dests {
		if p.givenUp || failpoint.On(failpoint.R2TrimUnacknowledged) {
			continue
		}
		acked := p.progress.Acknowledged()
		for publisher, s := range highest {
			if acked[publisher] < s {
				return true
			}
		}
	}
	return false
}
