package scenario_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// A world is the subject of a document: instances, applications, and their events. It
// belongs to the bubble's goroutine.
type world struct {
	*cluster.System

	apps        map[string]*app
	readers     map[string]*reader
	paused      map[string]bool          // instances
	instances   []string                 // instances
	clocks      map[string]*atomic.Int64 // by how much those of instances are ahead
	proxies     []func()                 // end them
	logs        map[string]*instanceLog  // of instances
	permissions map[string]*permissions  // of instances with users
	verbs       map[string]verb
}

// A verb carries out a command and returns the text that it prints.
type verb func(c *command) string

func newWorld(t *testing.T) *world {
	w := &world{
		System:      cluster.New(t),
		apps:        make(map[string]*app),
		readers:     make(map[string]*reader),
		paused:      make(map[string]bool),
		clocks:      make(map[string]*atomic.Int64),
		logs:        make(map[string]*instanceLog),
		permissions: make(map[string]*permissions),
	}
	w.verbs = map[string]verb{
		"servers": w.servers, "config": w.configure, "proxy": w.proxy,
		"kill": w.kill, "shutdown": w.shutdown, "powercut": w.powercut, "wipe": w.wipe, "start": w.start, "lost": w.lost,
		"stop": w.pause, "cont": w.resume,
		"partition": w.partition, "cut": w.cut, "heal": w.heal, "reset": w.reset, "reset-every": w.resetEvery, "move": w.move,
		"clock": w.clock, "slow-disk": w.slowDisk, "fail-disk": w.failDisk, "die-at": w.dieAt, "damage": w.damage, "newer": w.newer, "known": w.known,
		"publisher": w.publisher, "subscriber": w.subscriber, "subscribe": w.subscribe, "copy": w.copyApp, "connect": w.connect,
		"publish": w.publish, "load": w.load, "stop-load": w.stopLoad, "flush": w.flush,
		"discard": w.discard, "release": w.release,
		"pass": w.pass, "await": w.await,
		"received": w.received, "acked": w.acked, "journal": w.journal, "order": w.order, "same": w.same,
		"events": w.events, "status": w.status, "where": w.where, "moves": w.moves, "sessions": w.sessions, "account": w.account, "size": w.size,
		"ended": w.ended, "said": w.said, "dials": w.dials, "deny": w.deny, "met": w.met, "forge": w.forge,
	}
	return w
}

// block carries out the lines of a block. "repeat n" carries out those after
// it n times.
func (w *world) block(b *datadriven.TestData) string {
	w.TB.Helper()
	lines := strings.Split(b.FullCmd()+"\n"+b.Input, "\n")
	times := 1
	if n, ok := strings.CutPrefix(lines[0], "repeat "); ok {
		var err error
		if times, err = strconv.Atoi(n); err != nil {
			w.TB.Fatalf("%s: %v", b.Pos, err)
		}
		lines = lines[1:]
	}
	var printed strings.Builder
	for range times {
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") {
				w.line(&printed, b.Pos, line)
			}
		}
	}
	return printed.String()
}

func (w *world) line(printed *strings.Builder, at, line string) {
	w.TB.Helper()
	c := parse(w.TB, at, line)
	do := w.verbs[c.word]
	if do == nil {
		c.fail("there is no such command")
	}
	text := do(c)
	c.checkOptions()
	// Everything that happens without time passing has happened.
	synctest.Wait()
	if text != "" {
		fmt.Fprintln(printed, strings.TrimSuffix(text, "\n"))
	}
}

// finish ends everything and has the journals checked (G3, G4).
func (w *world) finish() {
	for name := range w.paused {
		w.Node(name).Resume()
	}
	for _, r := range w.readers {
		r.openGate()
	}
	w.Finish()
	for _, end := range w.proxies {
		end()
	}
}

// rest waits for messages on their way, before facts are printed.
func (w *world) rest() { w.Advance(100 * time.Millisecond) }

func (w *world) pass(c *command) string {
	w.Advance(c.parseDuration(c.name(0)))
	return ""
}

// await waits for one of a few things, two minutes at most.
func (w *world) await(c *command) string {
	w.TB.Helper()
	switch what := c.name(0); what {
	case "sync":
		w.AwaitSync()
	case "ready":
		w.Node(c.name(1)).AwaitReady()
	case "live":
		w.app(c.name(1)).AwaitServer(c.name(2))
	case "recovering":
		a := w.app(c.name(1))
		w.Await(a.Name+" to recover", func() bool { return a.Client.Stats().State.String() == "recovering" })
	case "stopped":
		n := w.Node(c.name(1))
		w.Await(n.Name+" to stop", func() bool { return stopped(n) })
	case "received":
		r, count := w.reader(c.name(1)), 0
		if _, err := fmt.Sscan(c.name(2), &count); err != nil {
			c.fail("%v", err)
		}
		w.Await(r.name+" to receive "+c.name(2), func() bool { return len(r.received()) >= count })
	default:
		c.fail("nobody can wait for %q", what)
	}
	return ""
}
