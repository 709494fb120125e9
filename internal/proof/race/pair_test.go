package race

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	life    = "the life that both copies have"
	last    = 2 // the highest number that a copy publishes
	maxAsks = 2 // of one session
)

var (
	publisher       = bookmark.IdentityOfLife(life)
	discardLog      = slog.New(slog.DiscardHandler)
	loggedTopics, _ = topic.NewSet([]string{"orders"})
	fixedTime       = time.Unix(1_800_000_000, 0)
)

// A setting is the start of a search.
type settings struct {
	have     uint64    // that both journals have of the publisher
	counters [2]uint64 // of the two logons
	leaves   bool      // clients may go away at any time
	plain    bool      // clients do not know our extensions
}

// A pair is two linked instances, each with the session of one copy.
type pair [2]*instance

// An instance is one server with its end of the link and the client that connects to it.
type instance struct {
	name      string
	peer      *instance
	j         *journal.Journal
	links     *replica.SteppedLinks
	shared    *servercore.Instance
	end       *replica.Endpoint
	inFlight  [][]byte // frames to this instance
	unsent    bool     // records of the session wait to be sent
	answerDue bool     // an answer waits to be sent
	read      []string // the journal up to readTo
	readTo    journal.Position
	client
}

// A client is one copy of the store, and the driver of its session.
type client struct {
	counter   uint64
	next      uint64 // to be published
	core      *servercore.Session
	message   wire.Message // that was executed last
	leaves    bool
	plain     bool
	removed   bool
	asking    bool // the session is to ask the peers
	asks      int
	poll      replica.Poll // nil: nothing was asked
	answered  bool         // the answers have come
	answers   ledger.Answers
	heardNews string // notices and answers, in the order in which the session has heard of them
}

func newPair(s settings) (*pair, error) {
	p := &pair{{name: "A"}, {name: "B"}}
	p[0].peer, p[1].peer = p[1], p[0]
	for n, i := range p {
		i.client = client{counter: s.counters[n], next: s.have + 1, leaves: s.leaves, plain: s.plain}
		if err := i.open(s.have); err != nil {
			return nil, err
		}
	}
	return p, p.link()
}

func (i *instance) open(have uint64) (err error) {
	i.shared = &servercore.Instance{Name: i.name, Version: "1", Run: 1, MaxMessage: 1 << 16, Logged: loggedTopics, Registry: servercore.NewRegistry(0)}
	i.j, err = journal.Open(journal.Options{
		FS: memfs.New(), Dir: "j", SegmentBytes: 8 << 10, Stepped: true, Now: func() time.Time { return fixedTime },
		OnAppend: func(p, s uint64) { i.links.Appended(p, s) },
	})
	if err != nil {
		return err
	}
	if err := errors.Join(i.j.AdoptCluster(journal.ClusterID{1}), i.j.BecomeIntact()); err != nil {
		return err
	}
	i.links, err = replica.NewSteppedLinks(replica.Options{
		Name: i.name, Group: "g", Digest: "d", Run: 1, Journal: i.j, Listener: noListener{}, HoldBytes: 1 << 40,
		Now: func() time.Time { return fixedTime }, OnNotice: i.onNotice,
		Destinations: []replica.Destination{{Name: i.peer.name, Address: i.peer.name, Sync: true}},
	})
	if err != nil {
		return err
	}
	i.shared.Ledger = i.links.Ledger()
	for n := range have {
		r := ledger.Record{Kind: ledger.Message, Publisher: publisher.ID, Check: publisher.Check, Sequence: n + 1, Prev: n, Topic: []byte("orders"), Body: []byte("both")}
		if _, err := i.shared.Ledger.Appender().Append(&r); err != nil {
			return err
		}
	}
	return nil
}

// onNotice notes that a session may have heard of the peer's.
func (i *instance) onNotice(n ledger.Notice) ledger.Reply {
	i.answerDue = true
	if i.core != nil {
		i.heardNews += "n"
	}
	return i.shared.OnNotice(n)
}

// link connects the instances and exchanges their first frames.
func (p *pair) link() error {
	p[0].end = p[0].links.Connect(&linkConn{to: p[1]}, "B")
	p[1].end = p[1].links.Connect(&linkConn{to: p[0]}, "")
	for busy := true; busy; busy = len(p[0].inFlight)+len(p[1].inFlight) > 0 {
		for _, i := range p {
			for len(i.inFlight) > 0 {
				if err := i.takeFrame(); err != nil {
					return err
				}
			}
			if err := i.turn(); err != nil {
				return err
			}
		}
	}
	for _, i := range p {
		i.links.Step()
		if i.end.Peer() != i.peer.name || i.links.CatchingUp() {
			return errors.New("the link is not up")
		}
	}
	return nil
}

// A noListener has the links wait for a peer that dials.
type noListener struct{ net.Listener }

func (noListener) Close() error { return nil }

// A wayOut is the connection that an end writes to: its frames wait at the peer.
type linkConn struct {
	net.Conn // nil: an End needs only the methods below
	to       *instance
	part     []byte
}

func (w *linkConn) Write(b []byte) (int, error) {
	w.part = append(w.part, b...)
	for len(w.part) >= 8 {
		n := 8 + int(binary.BigEndian.Uint32(w.part))
		if n > len(w.part) {
			break
		}
		w.to.inFlight = append(w.to.inFlight, slices.Clone(w.part[:n]))
		w.part = w.part[n:]
	}
	return len(b), nil
}

func (w *linkConn) Close() error                     { return nil }
func (w *linkConn) RemoteAddr() net.Addr             { return nil }
func (w *linkConn) SetWriteDeadline(time.Time) error { return nil }
func (w *linkConn) SetReadDeadline(time.Time) error  { return nil }

// turn sends all that there is to send: answers and notices first, then records.
func (i *instance) turn() error {
	for busy := true; busy; {
		var err error
		if busy, err = i.end.SendPending(); err != nil {
			return err
		}
	}
	i.unsent, i.answerDue = false, false
	return nil
}

// takeFrame takes the first frame in flight to this instance. An answer is sent at once:
// to send it later is the same as a longer time in flight.
func (i *instance) takeFrame() error {
	frame := i.inFlight[0]
	i.inFlight = i.inFlight[1:]
	if err := i.end.Receive(frame); err != nil || !i.answerDue {
		return err
	}
	return i.turn()
}

// Wake, AcksDue, Changed and AskPeers implement servercore.Driver.
func (c *client) Wake()                         {}
func (c *client) AcksDue()                      {}
func (c *client) StateChanged(servercore.State) {}
func (c *client) AskPeers()                     { c.asking = true }

type command interface{ AppendTo([]byte) []byte }

func (i *instance) execute(c command) error {
	if err := wire.Parse(c.AppendTo(nil)[4:], &i.message); err != nil {
		return err
	}
	return i.core.Execute(&i.message, 0)
}

func (i *instance) logon() error {
	i.core = servercore.NewSession(i.shared, i, discardLog, fixedTime)
	i.shared.Registry.Add(i.core, "")
	c := wire.LogonCommand{CommandID: "0", ClientName: life, Acks: wire.AckProcessed}
	if !i.plain {
		c.Ext, c.Store, c.Counter = true, life, i.counter
	}
	if err := i.execute(&c); err != nil {
		return err
	}
	return i.core.Decide(fixedTime)
}

func (i *instance) publish() error {
	c := &wire.PublishCommand{Topic: "orders", Acks: wire.AckPersisted, Sequence: i.next, Body: fmt.Append(nil, "of ", i.name)}
	i.next++
	return i.appendWith(func() error { return i.execute(c) })
}

func (i *instance) decide() error {
	return i.appendWith(func() error { return i.core.Decide(fixedTime) })
}

// appends runs a function that may append a record, which is sent later.
func (i *instance) appendWith(do func() error) error {
	end := i.j.End()
	err := do()
	i.core.Notify()
	i.unsent = i.unsent || i.j.End() != end
	return err
}

// ask sends the notice of the session.
func (i *instance) ask() error {
	i.asking, i.answered = false, false
	i.asks++
	i.poll = i.links.Ask(i.core.Notice())
	return i.turn()
}

// checkAnswers checks whether the answers have come. The session gets them later.
func (i *instance) checkAnswers() {
	if i.poll == nil || i.answered {
		return
	}
	i.answers, _, i.answered = i.poll(false)
}

func (i *instance) hearAnswers() error {
	i.heardNews += "a"
	i.poll, i.answered = nil, false
	i.asking = !i.core.AddAnswers(i.answers)
	return nil
}

func (i *instance) endSession() error {
	i.core.End("closed by the client", nil)
	return nil
}

func (i *instance) remove() error {
	i.removed, i.asking = true, false
	i.core.Release()
	i.shared.Registry.Remove(i.core)
	return nil
}

// contents are the publisher's messages in the journal.
func (i *instance) contents() []string {
	if end := i.j.End(); i.readTo != end {
		i.read, i.readTo = i.readAll(), end
	}
	return i.read
}

func (i *instance) readAll() []string {
	f := i.j.Follow(i.j.First(), journal.Appended)
	defer f.Close()
	var list []string
	var r journal.Record
	for {
		switch more, err := f.Next(&r); {
		case err != nil:
			panic(err)
		case !more:
			return list
		}
		list = append(list, fmt.Sprintf("%d %s", r.Sequence, r.Body))
	}
}

// digest describes the part of the state that decides about later steps.
func (p *pair) digest() string {
	var b strings.Builder
	for _, i := range p {
		state, deciding := servercore.StateOpen, false
		if i.core != nil {
			state, deciding = i.core.State(), i.core.Deciding()
		}
		fmt.Fprintf(&b, "%q %v %q|%d %v %v %v %v|%v %d %v %v %+v %s\n", i.contents(), i.unsent, i.inFlight,
			i.next, i.core != nil, state, deciding, i.removed,
			i.asking, i.asks, i.poll != nil, i.answered, i.answers, i.heardNews)
	}
	return b.String()
}

// diverged returns the number that has two contents, if there is one.
func (p *pair) diverged() string {
	a, b := p[0].contents(), p[1].contents()
	for n := range min(len(a), len(b)) {
		if a[n] != b[n] {
			return fmt.Sprintf("%s, %s", a[n], b[n])
		}
	}
	return ""
}

func (p *pair) close() {
	for _, i := range p {
		i.end.Close(replica.ErrClosed)
		_ = i.links.Close()
		_ = i.j.Close()
	}
}
