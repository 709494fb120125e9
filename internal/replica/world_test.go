package replica

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is a network with instances, in a bubble.
type world struct {
	*memnet.Network
	t         *testing.T
	instances []*instance
}

// inWorld runs a test in a world. At the end it closes every instance and verifies its journal.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{Network: memnet.New(), t: t}
		t.Cleanup(w.end)
		test(t, w)
	})
}

// end closes and verifies the instances that a test leaves behind, even after a failure.
func (w *world) end() {
	for _, i := range w.instances {
		w.Resume(i.name)
		i.close()
		if _, err := journals.Verify(i.disk, "j"); err != nil {
			w.t.Errorf("%s: %v", i.name, err)
		}
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", i.name, i.log.String())
		}
	}
}

// An instance is a journal with its links, on a host with the instance's name.
type instance struct {
	w    *world
	name string
	disk *memfs.FS
	set  func(*Options) // changes the usual options
	runs uint64

	j              *journal.Journal
	l              *Links
	log            lockedBuffer
	links          atomic.Pointer[Links]
	watermarkCalls atomic.Int64 // of OnWatermark
	notices        []Notice
	events         eventList
	jset           func(*journal.Options) // changes the usual options of the journal
	bare           bool                   // its journal has no cluster id yet
}

// lockedBuffer is the log of an instance.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eventList are the events of an instance.
type eventList struct {
	mu   sync.Mutex
	list []Event
}

func (l *eventList) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

// kinds returns the kinds of the events about a peer, in order.
func (l *eventList) kinds(peer string) (kinds []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		if e.Peer == peer && e.Text != "" {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// to returns a sync destination with an address to dial.
func to(name string) Destination {
	return Destination{Name: name, Address: name + ":9107", Sync: true}
}

// instance adds an instance without starting it.
func (w *world) instance(name string, set func(*Options)) *instance {
	i := &instance{w: w, name: name, disk: memfs.New(), set: set}
	w.instances = append(w.instances, i)
	return i
}

// start adds an instance with these destinations and starts it.
func (w *world) start(name string, dests ...Destination) *instance {
	w.t.Helper()
	i := w.instance(name, configured(name, dests...))
	i.start()
	return i
}

// configured sets the destinations of an instance. Without any, it sets as peers the others of a,
// b and c.
func configured(name string, dests ...Destination) func(*Options) {
	var peers []string
	for _, other := range []string{"a", "b", "c"} {
		if other != name && !slices.ContainsFunc(dests, func(d Destination) bool { return d.Name == other }) {
			peers = append(peers, other)
		}
	}
	return func(o *Options) {
		if o.Destinations = dests; len(dests) == 0 {
			o.Peers = peers
		}
	}
}

// pair starts a and b, linked both ways.
func (w *world) pair() (a, b *instance) {
	w.t.Helper()
	return w.start("a", to("b")), w.start("b", to("a"))
}

// chain starts a, b and c. a and c are linked with b only.
func (w *world) chain() (a, b, c *instance) {
	w.t.Helper()
	a, b, c = w.start("a", to("b")), w.start("b", to("a"), to("c")), w.start("c", to("b"))
	w.linked(a, b)
	w.linked(b, c)
	return a, b, c
}

func (i *instance) open() {
	i.w.t.Helper()
	o := journal.Options{
		FS: i.disk, Dir: "j", SegmentBytes: 16 << 10, SetAside: true, Carried: i.carries,
		OnAppend: func(p, s uint64) {
			if l := i.links.Load(); l != nil {
				l.Appended(p, s)
			}
		},
		OnDurable: func(moved []journal.Advance, idle bool) {
			if l := i.links.Load(); l != nil {
				l.Durable(moved, idle)
			}
		},
	}
	if i.jset != nil {
		i.jset(&o)
	}
	j, err := journal.Open(o)
	if err != nil {
		i.w.t.Fatalf("%s: %v", i.name, err)
	}
	i.j = j
	if i.bare || !j.Cluster().ID.IsZero() {
		return
	}
	if err := errors.Join(j.AdoptCluster(testCluster), j.BecomeIntact()); err != nil {
		i.w.t.Fatalf("%s: %v", i.name, err)
	}
}

// testCluster is the cluster id of journals that need not find a group.
var testCluster = journal.ClusterID{1, 2, 3, 4}

// carries reports whether every destination gets a topic.
func (i *instance) carries(topic []byte) bool {
	l := i.links.Load()
	return l == nil || !slices.ContainsFunc(l.dests, func(p *peer) bool { return !p.carries(topic) })
}

func (i *instance) start() {
	i.w.t.Helper()
	if i.j == nil {
		i.open()
	}
	i.runs++
	host := i.w.Host(i.name)
	ln, err := host.Listen(":9107")
	if err != nil {
		i.w.t.Fatal(err)
	}
	o := Options{
		Name: i.name, Group: "g", Digest: "d", Run: bookmark.IdentityOfName(fmt.Sprint(i.name, i.runs)).ID,
		Journal: i.j, Listener: ln, Dial: host.Dial, HoldBytes: 1 << 40, Secrets: FixedSecret(testSecret),
		Log:         slog.New(slog.NewTextHandler(&i.log, nil)),
		OnWatermark: func([]uint64) { i.watermarkCalls.Add(1) },
		OnEvent:     i.events.add,
		OnNotice: func(n Notice) ledger.Reply {
			i.notices = append(i.notices, n)
			return ledger.Reply{NameTaken: n.User == refusedUser, Outbid: n.User == lostUser}
		},
	}
	if i.set != nil {
		i.set(&o)
	}
	if i.l, err = Start(o); err != nil {
		i.w.t.Fatalf("%s: %v", i.name, err)
	}
	i.links.Store(i.l)
}

// testSecret is the link secret of every instance.
var testSecret = bytes.Repeat([]byte{7}, SecretBytes)

// close stops the instance in order.
func (i *instance) close() {
	if i.l != nil {
		if err := i.l.Close(); err != nil {
			i.w.t.Errorf("%s: close: %v", i.name, err)
		}
		i.links.Store(nil)
		i.l = nil
	}
	if i.j != nil {
		if err := i.j.Close(); err != nil {
			i.w.t.Errorf("%s: close journal: %v", i.name, err)
		}
		i.j = nil
	}
}

// kill ends the instance at once and leaves the disk as after a crash.
func (i *instance) kill(m memfs.Mode) {
	i.w.Kill(i.name)
	_ = i.j.Kill()
	i.disk = i.disk.Crash(m)
	_ = i.l.Close()
	i.links.Store(nil)
	i.l, i.j = nil, nil
}

// message returns message s of publisher p.
func message(p, s uint64, topic string) *journal.Record {
	return &journal.Record{
		Kind: journal.Message, Publisher: p, Sequence: s, Prev: s - 1,
		Topic: []byte(topic), Body: fmt.Appendf(nil, "body of %d|%d", p, s),
	}
}

// checkOf returns the check of publisher p.
func checkOf(p uint64) bookmark.Check { return bookmark.IdentityOfLife(fmt.Sprint("life ", p)).Check }

// publish appends the messages of publisher p between two numbers, both included.
func (i *instance) publish(p, from, to uint64) {
	i.w.t.Helper()
	i.publishTo("x", p, from, to)
}

func (i *instance) publishTo(topic string, p, from, to uint64) {
	i.w.t.Helper()
	for s := from; s <= to; s++ {
		i.append(message(p, s, topic))
	}
}

func (i *instance) append(r *journal.Record) {
	i.w.t.Helper()
	r.Check = checkOf(r.Publisher)
	if v, err := i.j.Append(r); err != nil || v != journal.Accepted {
		i.w.t.Fatalf("%s: append %d|%d: verdict %v, %v", i.name, r.Publisher, r.Sequence, v, err)
	}
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// eventually waits until a condition holds.
func (w *world) eventually(condition string, holds func() bool) {
	w.t.Helper()
	for range 3000 {
		synctest.Wait()
		if holds() {
			return
		}
		pass(10 * time.Millisecond)
	}
	w.t.Fatalf("not within 30s: %s", condition)
}

// now checks that a condition holds once all goroutines are idle.
func (w *world) now(condition string, holds func() bool) {
	w.t.Helper()
	synctest.Wait()
	if !holds() {
		w.t.Fatalf("does not hold: %s", condition)
	}
}

// status returns the state of the link to a peer.
func (i *instance) status(peer string) Status {
	for _, s := range i.l.Status() {
		if s.Peer == peer {
			return s
		}
	}
	return Status{}
}

func (i *instance) state(peer, state string) func() bool {
	return func() bool { return i.status(peer).State == state }
}

// linked waits until two instances are linked and nothing waits.
func (w *world) linked(a, b *instance) {
	w.t.Helper()
	w.eventually(a.name+" and "+b.name+" are linked", func() bool {
		return up(a.status(b.name)) && up(b.status(a.name))
	})
}

func up(s Status) bool { return s.State == "sync" || s.State == "live" }

// isReady reports whether the instance would serve clients.
func (i *instance) isReady() bool {
	select {
	case <-i.l.Ready():
		return true
	default:
		return false
	}
}

// each calls f with each record of the journal.
func (i *instance) each(f func(r *journal.Record)) {
	i.w.t.Helper()
	follower := i.j.Follow(0, journal.Appended)
	defer follower.Close()
	var r journal.Record
	for {
		ok, err := follower.Next(&r)
		if err != nil {
			i.w.t.Fatalf("%s: %v", i.name, err)
		}
		if !ok {
			return
		}
		f(&r)
	}
}

// text returns the contents of the journal, each publisher's in order.
func (i *instance) text() string {
	i.w.t.Helper()
	all := make(map[uint64][]string)
	i.each(func(r *journal.Record) {
		all[r.Publisher] = append(all[r.Publisher], fmt.Sprintf("%v %d %s %s", r.Kind, r.Sequence, r.Topic, r.Body))
	})
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%d: %s\n", p, strings.Join(all[p], ", "))
	}
	return b.String()
}

func (i *instance) have(p uint64) uint64 {
	s, _ := i.j.State(p)
	return s.Have
}

// same waits until the journals hold the same messages (G5).
func (w *world) same(first *instance, others ...*instance) {
	w.t.Helper()
	for _, o := range others {
		w.eventually(first.name+" and "+o.name+" hold the same", func() bool { return sameStates(first, o) })
		if a, b := first.text(), o.text(); a != b {
			w.t.Fatalf("%s holds\n%s%s holds\n%s", first.name, a, o.name, b)
		}
	}
}

func sameStates(a, b *instance) bool {
	return slices.EqualFunc(a.j.States(), b.j.States(), func(a, b journal.PublisherState) bool {
		return a.Publisher == b.Publisher && a.Check == b.Check && a.Owner == b.Owner && a.Have == b.Have && a.RunningCRC == b.RunningCRC
	})
}

// logged reports whether one line of the log contains all of these texts.
func (i *instance) logged(parts ...string) bool {
	for line := range strings.Lines(i.log.String()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return true
		}
	}
	return false
}

// lostUser is a user whose logon loses to another session wherever a notice arrives.
const lostUser = "loser"

// refusedUser is a user whose logons every instance refuses.
const refusedUser = "mallory"

// Settled returns settled(p).
func (l *Links) Settled(publisher uint64) uint64 {
	_, settled := l.Watermarks(publisher)
	return settled
}
