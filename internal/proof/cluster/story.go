package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// A story is a run in which everything happens as it is written: a pair, two
// publishers, two subscribers; steps, and at some of them a fault.
type story struct {
	*randomRun
	fixedDraw *draw // draws nothing that matters
}

// A step is one thing that happens in a story. All that follows from it at the
// same instant has happened when the step is over.
type step struct {
	name string
	do   func(s *story)
}

// script is the story. Its pauses lie between the steps of a message: an fsync takes
// 200µs, and the publisher's instance and the other one make one each before a message is
// safe.
var script = []step{
	{"the publisher starts", func(s *story) { s.startPublisher("pub", "a", "b") }},
	pause(50 * time.Microsecond),
	{"another publisher starts", func(s *story) { s.startPublisher("two", "b", "a") }},
	{"a subscriber starts", func(s *story) { s.subscribe(0, []string{"b", "a"}, s.configureResuming) }},
	{"another subscriber starts", func(s *story) { s.subscribe(4, []string{"a", "b"}, s.configureDurable) }},
	pause(time.Millisecond),
	publish("pub", "orders"),
	pause(100 * time.Microsecond),
	pause(200 * time.Microsecond),
	pause(200 * time.Microsecond),
	publish("two", "orders"),
	publish("pub", "ticks", "orders"),
	pause(100 * time.Microsecond),
	publish("pub", "orders"),
	pause(200 * time.Microsecond),
	pause(5 * time.Millisecond),
	{"the publisher has to leave a", func(s *story) { s.leave("a") }},
	pause(50 * time.Microsecond),
	publish("pub", "orders"),
	pause(100 * time.Microsecond),
	publish("two", "orders"),
	pause(300 * time.Microsecond),
	pause(20 * time.Millisecond),
	{"the first subscriber's place is on disk", (*story).syncSubscriber},
	{"its process dies", (*story).stopSubscriber},
	publish("pub", "orders"),
	pause(250 * time.Microsecond),
	pause(60 * time.Millisecond),
	{"it starts again", func(s *story) { s.subscribers[0].restart() }},
	pause(100 * time.Microsecond),
	pause(time.Second),
	{"b stops", func(s *story) { s.stopInstance(1) }},
	pause(100 * time.Microsecond),
	publish("pub", "orders"),
	publish("two", "orders"),
	pause(250 * time.Microsecond),
	pause(400 * time.Millisecond), // a goes on alone
	publish("pub", "orders"),
	pause(250 * time.Microsecond),
	{"b starts", func(s *story) { s.instances[1].restore() }},
	pause(200 * time.Microsecond),
	pause(400 * time.Microsecond),
	pause(10 * time.Millisecond),
	publish("pub", "orders", "ticks"),
	pause(250 * time.Microsecond),
	pause(3 * time.Second),
	publish("two", "orders"),
	publish("pub", "orders"),
	pause(100 * time.Microsecond),
}

func pause(d time.Duration) step {
	return step{fmt.Sprintf("%v pass", d), func(s *story) { s.runFor(d) }}
}

func publish(publisher string, topics ...string) step {
	return step{publisher + " publishes " + strings.Join(topics, ", "), func(s *story) { s.publish(publisher, topics...) }}
}

// publish has a publisher publish a message to each of some topics, if it is up.
func (s *story) publish(name string, topics ...string) {
	i := slices.IndexFunc(s.publishers, func(p *publisher) bool { return p.app.Name == name })
	p := s.publishers[i]
	if !p.running {
		return
	}
	for _, p.topic = range topics {
		p.publish(context.Background(), p.app.Client)
	}
}

// newStory returns a pair without faults, except for those that arm sets up.
func newStory(tb testing.TB, arm func(*memnet.Network)) *story {
	s := &story{randomRun: newRandom(New(tb), 1), fixedDraw: &draw{rand.New(rand.NewPCG(1, 1))}}
	s.Log, s.lines = slog.New(slog.DiscardHandler), s.lines.To(slog.DiscardHandler)
	s.sampleEvery, s.haveMet = 1, true // a link may be cut for good before its first byte
	s.settings = settings{downgrade: 300 * time.Millisecond, rejoin: 500 * time.Millisecond, segment: 64 << 10}
	arm(s.Net)
	s.addInstance("a", SyncTime, "b")
	s.addInstance("b", SyncTime, "a")
	s.Await("both to serve clients", func() bool { return s.instances[0].isReady() && s.instances[1].isReady() })
	return s
}

// startPublisher starts a publisher of the story.
func (s *story) startPublisher(name string, servers ...string) {
	s.addPublisher(&publisher{run: s.randomRun}, name, servers)
}

func (s *story) addPublisher(p *publisher, name string, servers []string) {
	p.onCommand = true
	p.app = s.NewApp(name, servers, nil)
	p.app.plain = p.plain
	p.app.Wrap = p.watchStore
	p.app.Options.SegmentBytes = 64 << 10
	s.publishers = append(s.publishers, p)
	s.onClose(p.end)
	p.start()
}

// configureResuming is a subscriber that is restarted with its place. It discards a
// message when it has two more.
func (s *story) configureResuming(sub *subscriber) {
	sub.name, sub.dir, sub.maxHeld, sub.pace = "again", memoryDir(s.TB), 2, 300*time.Microsecond
	sub.history.Topic = "orders"
	sub.opts = []client.SubscribeOption{client.From(client.MostRecent), client.ID("place")}
}

// memoryDir returns a directory of the test, in memory if the machine has such
// a place: nothing in it need outlive the machine.
func memoryDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "holdfast-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// configureDurable makes a subscriber that receives only messages that are on both disks.
func (s *story) configureDurable(sub *subscriber) {
	sub.name, sub.history.FullyDurable = "sure", true
	sub.opts = []client.SubscribeOption{client.From(client.Epoch), client.FullyDurable()}
}

// runFor lets time pass, in which faults end.
func (s *story) runFor(d time.Duration) {
	s.advanceUntil(time.Now().Add(d), s.fixedDraw)
	s.Advance(0)
}

// leave has the publisher lose its connection to an instance, which it can't
// reach for a while.
func (s *story) leave(instance string) {
	s.Cut("pub", instance)
	s.Net.Reset("pub", instance)
	s.later(500*time.Millisecond, func() { s.Heal("pub", instance) })
}

// syncSubscriber waits until the discards of the subscriber with a place are on disk.
func (s *story) syncSubscriber() {
	if s.subscribers[0].running {
		s.subscribers[0].sync(context.Background())
	}
}

// stopSubscriber ends the process of the subscriber with a place.
func (s *story) stopSubscriber() {
	if s.subscribers[0].running {
		s.subscribers[0].kill()
	}
}

// stopInstance stops an instance in order.
func (s *story) stopInstance(n int) {
	i := s.instances[n]
	if i.Server == nil || i.armed {
		return
	}
	i.Resume()
	s.logf("%s has shut down: %v", i.Name, i.Server.Shutdown(context.Background()))
	i.Server = nil
}

// An event is a fault at a step: it happens before the step.
type event struct{ step, fault int }

func (e event) String() string { return fmt.Sprintf("%d:%s", e.step, storyFaults[e.fault].name) }

// runStory runs the story with faults, which are in the order of their steps, and
// judges it. It returns why those that could not happen could not.
func runStory(tb testing.TB, faults ...event) (reasons []string) {
	s := newStory(tb, func(*memnet.Network) {})
	defer s.report()
	reasons = make([]string, len(faults))
	for at := range stepCount {
		for n, f := range faults {
			if f.step == at {
				reasons[n] = s.inject(storyFaults[f.fault])
			}
		}
		if at < len(script) {
			s.logf("%2d %s", at, script[at].name)
			script[at].do(s)
			s.Advance(0)
		}
	}
	s.restartDead()
	for len(s.undo) > 0 {
		s.runFor(time.Until(s.undo[0].at) + 1)
	}
	s.recover()
	s.judge()
	return reasons
}

// inject has a fault happen, and returns why it can't if it can't.
func (s *story) inject(m storyFault) string {
	s.restartDead()
	s.logf("%s", m.name)
	defer s.Advance(0)
	return m.inject(s)
}

// restartDead has instances that have ended by themselves restarted after a while.
func (s *story) restartDead() { s.restartEnded(s.fixedDraw) }
