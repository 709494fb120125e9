package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A forger is a client that lies: one logon, then one publish.
type forger struct {
	process
	i    *instance
	conn *endpoint
	in   frameReader
	lie
}

// A lie is something that no store says.
type lie struct {
	logon         wire.LogonCommand
	publish       wire.PublishCommand
	mustBeRefused bool  // it must not be taken
	thief         bool  // another user with the victim's store
	victim        *life // the victim of a publish whose number the instance has
}

const (
	forgerName = "forger"
	// forgerTimeout is how long a forger waits for an answer.
	forgerTimeout = time.Second
	// forgerSpacing is the least time between two sessions under a victim's life or
	// name that take it from the victim: three times in a minute end a client (R11).
	forgerSpacing = 30 * time.Second
)

// forgerFault makes a fault from a lie about a life. tell returns false if the lie is not
// possible now.
func forgerFault(tell func(w *world, i *instance, l *life, f *forger) bool) func(*world) bool {
	return func(w *world) bool {
		i := w.oneOfPair()
		if !i.alive || i.stopped || !i.serving || len(w.oracle.order) == 0 {
			return false
		}
		f := newForger(w, i)
		l := w.oracle.order[w.chaos.IntN(len(w.oracle.order))]
		if len(l.lost) > 0 { // a client that knows the life can use up its decree
			return false
		}
		if !tell(w, i, l, f) {
			return false
		}
		w.logf("FAULT forger at %s: %+v, %+v", i.name, f.logon, f.publish)
		f.connect()
		return true
	}
}

// newForger returns a forger at an instance, under a life of its own.
func newForger(w *world, i *instance) *forger {
	w.forgers++
	f := &forger{process: process{w: w, name: forgerName, foreign: true}, i: i}
	f.logon = wire.LogonCommand{
		CommandID: "0", ClientName: fmt.Sprintf("%s%d", forgerName, w.forgers), UserID: w.user(userForger), Acks: wire.AckProcessed, Ext: true,
	}
	f.logon.Store = f.logon.ClientName
	f.publish = wire.PublishCommand{
		CommandID: "1", Topic: topicDevnull, Acks: wire.AckProcessed | wire.AckPersisted,
		Body: binary.LittleEndian.AppendUint64(nil, 1<<60+uint64(w.forgers)),
	}
	return f
}

// allowOwn allows the numbers that a forger has for itself.
func (f *forger) allowOwn(upTo uint64) bool {
	id := publisherOf(f.logon.Store)
	if !f.logon.Ext {
		id = bookmark.IdentityOfName(f.logon.ClientName).ID
	}
	f.w.oracle.forgerLimits[id] = max(f.w.oracle.forgerLimits[id], upTo)
	return true
}

// impersonate speaks for a victim: now and then so that it takes the victim's session.
func (f *forger) impersonate(l *life) {
	f.logon.Store, f.logon.UserID = l.id, l.owner.user
	if f.w.chaos.IntN(4) == 0 && f.mayTakeSession(l.owner) {
		f.logon.Counter = bookmark.MaxSequence
	}
}

// mayTakeSession reports whether a victim may lose its session now.
func (f *forger) mayTakeSession(p *publisher) bool {
	if p.sessionTakenAt > 0 && f.w.now-p.sessionTakenAt < forgerSpacing {
		return false
	}
	p.sessionTakenAt = f.w.now
	return true
}

// highNumber publishes above 2^63-1, or the highest number under a life of its own.
func highNumber(w *world, _ *instance, l *life, f *forger) bool {
	f.publish.Sequence, f.mustBeRefused = 1<<63+w.chaos.Uint64()>>1, true
	switch w.chaos.IntN(4) {
	case 0:
		f.impersonate(l)
		return true
	case 1:
		f.logon.Ext = false
	case 2:
		f.publish.Sequence, f.logon.Acked, f.logon.Last = bookmark.MaxSequence, bookmark.MaxSequence-1, bookmark.MaxSequence
		f.mustBeRefused = false
		return f.allowOwn(bookmark.MaxSequence)
	default:
		f.logon.Acked, f.logon.Last = f.publish.Sequence-1, f.publish.Sequence
	}
	return f.allowOwn(0)
}

// skippedNumbers leaves numbers out.
func skippedNumbers(w *world, i *instance, l *life, f *forger) bool {
	f.mustBeRefused = true
	f.publish.Sequence = 2 + w.chaos.Uint64N(100)
	if have := i.state(l).Have; have > 0 && w.chaos.IntN(2) == 0 {
		f.impersonate(l)
		// More than its store can give out while the forger is under way.
		f.publish.Sequence += have + 1<<20
	} else {
		f.allowOwn(0)
	}
	f.logon.Last = f.publish.Sequence
	return true
}

// rejectedNumbers leaves numbers out and states that they were rejected elsewhere.
func rejectedNumbers(w *world, _ *instance, _ *life, f *forger) bool {
	acked := w.chaos.Uint64N(50)
	f.logon.Acked, f.publish.Sequence = acked, acked+2+w.chaos.Uint64N(50)
	f.logon.Last = f.publish.Sequence
	f.logon.Rejected = []wire.Span{{From: acked + 1, To: f.publish.Sequence - 1}}
	return f.allowOwn(f.publish.Sequence)
}

// falseAcked states numbers as let go that it never gave out, or that no store has.
func falseAcked(w *world, i *instance, l *life, f *forger) bool {
	f.mustBeRefused = true
	f.publish.Sequence = 1
	f.logon.Acked, f.logon.Last = 1+w.chaos.Uint64N(100), 0
	if have := i.state(l).Have; have > 0 && w.restore.incarnation == 0 && w.chaos.IntN(2) == 0 {
		f.impersonate(l) // a decree would believe it
		f.logon.Acked += have + 1<<20
		f.logon.Last = f.logon.Acked
		return true
	}
	return f.allowOwn(0)
}

// otherContent publishes something else under a number that is there, as a copy of
// a store would. Of a life of which it says nothing all is compared.
func otherContent(w *world, i *instance, l *life, f *forger) bool {
	have := min(i.state(l).Have, uint64(len(l.messages)))
	if have == 0 || w.settings.retain > 0 || w.damaged {
		return false
	}
	f.impersonate(l)
	m := l.messages[w.chaos.Uint64N(have)]
	f.publish.Sequence, f.victim = m.Sequence, l
	switch {
	case m.Topic == topicDevnull, w.chaos.IntN(2) == 0:
		f.publish.Topic = topicA
	case w.forgers%2 == 0: // only the headers differ
		other := headersOf(uint64(m.N))
		other.Set("forged", "")
		f.publish.Topic, f.publish.Headers = m.Topic, other.Encoded()
		f.publish.Body = binary.LittleEndian.AppendUint64(nil, uint64(m.N))
	}
	f.mustBeRefused = m.Topic != topicRefused // otherwise the failure may still have to be reported
	w.oracle.differing++
	return true
}

// otherName has the protocol's hash of a victim's life, or the victim's name.
func otherName(w *world, _ *instance, l *life, f *forger) bool {
	f.publish.Sequence = 1
	switch w.chaos.IntN(3) {
	case 0:
		f.logon.Ext = w.chaos.IntN(2) == 0
		if f.mayTakeSession(l.owner) {
			f.logon.ClientName, f.logon.UserID = l.owner.name, l.owner.user
		}
	case 1:
		f.logon.Ext = false
		f.logon.ClientName = forge.Name(f.logon.ClientName, l.id)
		w.conflicting[bookmark.IdentityOfName(f.logon.ClientName).ID] = true // another forger of the same kind has the same id
	default:
		f.logon.Store = forge.Name(f.logon.ClientName, l.id)
	}
	f.logon.Last = 1
	if !f.logon.Ext && f.logon.ClientName == l.owner.name {
		f.publish.Sequence = w.oracle.forgerLimits[bookmark.IdentityOfName(f.logon.ClientName).ID] + 1
	}
	return f.allowOwn(f.publish.Sequence)
}

func (f *forger) connect() {
	w := f.w
	f.beginRun()
	f.conn = w.connect(&f.process, &f.i.process, f.i.accept)
	f.conn.onPacket = func(packet any) {
		f.in.each(packet.([]byte), func(m *wire.Message) bool { f.onAnswer(m); return f.alive })
	}
	f.conn.onLost = func(error) { f.disconnect() }
	f.conn.send(f.logon.AppendTo(nil))
	w.after(forgerTimeout, &f.process, 'G', f.disconnect)
}

// onAnswer hears an answer.
func (f *forger) onAnswer(m *wire.Message) {
	if m.Command != wire.Ack || m.Acks != wire.AckProcessed {
		return
	}
	if f.thief {
		f.onThiefAnswer(m)
		return
	}
	success := string(m.Status) == wire.StatusSuccess
	switch {
	case string(m.CommandID) == "0" && success && (f.victim == nil || f.i.state(f.victim).Have >= f.publish.Sequence):
		f.conn.send(f.publish.AppendTo(nil))
	case string(m.CommandID) == "1" && success && f.mustBeRefused:
		f.w.oracle.violate("%s took a lie: %+v, then %+v", f.i.name, f.logon, f.publish)
		fallthrough
	default:
		f.disconnect()
	}
}

func (f *forger) disconnect() {
	f.w.closeConnections(&f.process, false)
	f.endRun()
}

// conflictInterval is the time between two forged publishers.
const conflictInterval = 3 * time.Second

// writeConflicts has the two instances take one number of a publisher with different
// contents, now and then, as a copied store or a client that knows the life could. No
// application uses this publisher. Nothing promised to others may change, whether and
// when the conflict is found (R11). Both contents deliver nothing.
func (w *world) writeConflicts(end time.Duration) {
	w.after(conflictInterval, nil, 'Z', func() {
		if w.now >= end {
			return
		}
		identity := bookmark.IdentityOfLife(fmt.Sprintf("forged %d", len(w.conflicting)))
		w.logf("FAULT %d is forged", identity.ID)
		w.conflicting[identity.ID] = true
		for n, i := range w.instances[:2] {
			kind := []journal.Kind{journal.Empty, journal.Tombstone}[n]
			for s := range uint64(n + 1) {
				w.appendConflict(i, &journal.Record{Kind: kind, Publisher: identity.ID, Check: identity.Check, Sequence: s + 1, Prev: s})
			}
		}
		w.writeConflicts(end)
	})
}

func (w *world) appendConflict(i *instance, r *journal.Record) {
	if !i.alive || i.stopped || i.j == nil || i.j.Cluster().ID.IsZero() { // it takes nothing yet
		return
	}
	if _, err := i.j.Append(r); err != nil {
		w.logf("%s: %v", i.name, err)
	}
	i.wake()
}

// isConflicting reports whether a publisher was forged, so that nothing is promised of it.
func (w *world) isConflicting(publisher uint64) bool { return w.conflicting[publisher] }
