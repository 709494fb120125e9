package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// A cut is an end of the connections between two hosts once a number of bytes have
// arrived one way.
type cut struct {
	direction
	kind ending
	at   int64
}

// A direction is one of those that a session has.
type direction struct {
	from, to string
	plain    bool // the client takes its servers for some without our extensions
}

// directions are all.
var directions = []direction{
	{from: "app", to: "a"}, {from: "a", to: "app"},
	{from: "app", to: "a", plain: true}, {from: "a", to: "app", plain: true},
	{from: "a", to: "b"}, {from: "b", to: "a"},
}

// An ending is a way for connections to end.
type ending string

const (
	endReset   ending = "reset"   // RST: both ends are told
	endFIN     ending = "end"     // FIN: the receiver is told
	endSilence ending = "silence" // neither end is told; heartbeats find out
)

var endings = []ending{endReset, endFIN, endSilence}

// String names a cut as parseCut takes it.
func (c cut) String() string {
	name := fmt.Sprintf("%s>%s/%s/%d", c.from, c.to, c.kind, c.at)
	if c.plain {
		return "plain/" + name
	}
	return name
}

// parseCut parses the result of String.
func parseCut(name string) (c cut, err error) {
	rest, plain := strings.CutPrefix(name, "plain/")
	c.plain = plain
	parts := strings.FieldsFunc(rest, func(r rune) bool { return r == '>' || r == '/' })
	if len(parts) != 4 || !slices.Contains(endings, ending(parts[2])) {
		return c, fmt.Errorf("%q is no cut, such as app>a/reset/123", name)
	}
	c.from, c.to, c.kind = parts[0], parts[1], ending(parts[2])
	c.at, err = strconv.ParseInt(parts[3], 10, 64)
	return c, err
}

// arm sets the cut up.
func (c cut) arm(n *memnet.Network) {
	switch c.kind {
	case endReset:
		n.ResetAfter(c.from, c.to, c.at)
	case endFIN:
		n.FinAfter(c.from, c.to, c.at)
	case endSilence:
		n.CutAfter(c.from, c.to, c.at)
	}
}

// Cuts records a session of a client with an instance that replicates it, and
// runs it again for every byte of every direction of its connections, cut
// there, in each way a connection can end. The client goes on at the other
// instance, everything comes to rest and is judged.
func Cuts(t *testing.T, o Options) {
	t.Helper()
	if o.Only != "" {
		c, err := parseCut(o.Only)
		if err != nil {
			t.Fatal(err)
		}
		o.runOnly(t, func(tb testing.TB) { runSession(tb, c, c.arm) })
		return
	}
	cuts, bytes := recordSession(t)
	var made atomic.Int64
	s := newSweep(o)
	s.run(t, len(cuts), func(tb testing.TB, i int) {
		if runSession(tb, cuts[i], cuts[i].arm) >= cuts[i].at {
			made.Add(1)
		}
	})
	s.report(t, func(i int) string { return cuts[i].String() })
	t.Logf("cut at every byte: %d cuts of %d bytes in %d directions, %d violations", made.Load(), bytes, len(directions), len(s.failures))
}

// recordSession runs the session without a fault, and returns all cuts there can be.
// The number of bytes differs by a few, as identities have more or fewer digits.
func recordSession(t *testing.T) (cuts []cut, bytes int64) {
	t.Helper()
	for _, d := range directions {
		var n int64
		for _, f := range bubble(t, func(tb testing.TB) { n = runSession(tb, cut{direction: d}, func(*memnet.Network) {}) }) {
			t.Error(f)
		}
		bytes += n
		for _, kind := range endings {
			for at := int64(1); at <= n; at++ {
				cuts = append(cuts, cut{d, kind, at})
			}
		}
	}
	return cuts, bytes
}

// Chunks runs the session with reads that return at most n bytes, for each n up to most.
func Chunks(t *testing.T, most int) {
	t.Helper()
	for n := 1; n <= most; n++ {
		chunk := func(net *memnet.Network) { net.SetReadChunk(n) }
		for _, d := range []direction{{}, {plain: true}} {
			found := bubble(t, func(tb testing.TB) { runSession(tb, cut{direction: d}, chunk) })
			for _, f := range found {
				t.Errorf("reads of at most %d bytes: %s", n, f)
			}
		}
	}
}

// runSession runs the session whose connections are recorded: a client logs on, has two
// subscriptions of which it ends one, publishes twenty messages, receives and discards
// its own, is idle for some heartbeats and publishes again, to an instance that
// replicates it. It returns how many bytes had arrived at the point of the cut in the
// end.
func runSession(tb testing.TB, c cut, set func(*memnet.Network)) int64 {
	s := newStory(tb, set)
	defer s.report()
	p := &publisher{run: s.randomRun, plain: c.plain}
	s.addPublisher(p, "app", []string{"a", "b"})
	if c.plain {
		s.subscribePlain()
	} else {
		s.readOwn(p)
	}
	s.Advance(time.Millisecond)
	for range 4 {
		s.publish("app", "orders", "orders", "ticks")
		s.Advance(150 * time.Microsecond)
		s.publish("app", "orders")
		s.Advance(time.Millisecond)
	}
	s.Advance(1200 * time.Millisecond)
	s.publish("app", "orders", "ticks", "orders", "orders")
	s.Advance(1200 * time.Millisecond)
	bytes := s.Net.Delivered(c.from, c.to)
	if c.kind == endSilence && bytes >= c.at {
		s.Advance(longTime)
	}
	s.recover()
	s.judge()
	return bytes
}

// readOwn has a publisher's own client read its messages, and for a moment another
// subscription, too.
func (s *story) readOwn(p *publisher) {
	sub := s.reader(p, "all", "")
	s.subscribers = append(s.subscribers, sub)
	brief := s.reader(p, "brief", "orders")
	time.AfterFunc(3*time.Millisecond, brief.cancel)
	s.onClose(func() { <-brief.done })
}

// reader starts a subscription on a publisher's client.
func (s *story) reader(p *publisher, name, topic string) *subscriber {
	sub := &subscriber{run: s.randomRun, name: name, app: p.app, maxHeld: 2, running: true, handledBodies: make(map[string]bool), done: make(chan struct{})}
	sub.history = &checker.Reader{Name: name, Topic: topic, Processes: make([][]*checker.Delivery, 1)}
	sub.rand = rand.New(rand.NewPCG(s.seed, 20))
	sub.opts = []client.SubscribeOption{client.From(client.Epoch)}
	var ctx context.Context
	ctx, sub.cancel = context.WithCancel(context.Background())
	go sub.read(ctx, p.app.Client)
	return sub
}

// subscribePlain starts a subscriber of the other instance once the plain publisher has
// begun. Earlier it would take the numbers below the first one for a gap.
func (s *story) subscribePlain() {
	s.Await("the plain publisher to begin", func() bool { return s.publishers[0].app.Client.Stats().State == client.StateLive })
	s.publish("app", "orders")
	s.Await("its first message to be let go", func() bool { return s.publishers[0].app.Store.Lives()[0].Acked > 0 })
	s.subscribe(4, []string{"b", "a"}, s.configureDurable)
}
