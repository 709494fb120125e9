package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A decree is made in two rounds over the links that are up, so that an objection of one instance
// leaves nothing behind. In the first round each peer is asked for objections. In the second one
// the decree is journaled here and by each peer, which answers when it is durable there.

// decrees is the links' state for decrees. It is guarded by Links.mu.
type decrees struct {
	decreeRounds map[uint64]*decreeRound // waiting for answers, by number
	lastRound    uint64
	outdated     string // reason why no clients are served; empty: clients are served
}

// A decreeRound is a question about a decree, or an order to take it, to the connected peers.
type decreeRound struct {
	number   uint64
	open     map[*conn]bool // peers that have not answered
	problems []string
	done     chan struct{} // closed when all have answered
}

// reconcileDecree checks the decree in a peer's hello and takes it if it is new. An instance that
// had no part in the decree stops serving clients.
func (c *conn) reconcileDecree(theirs *Hello) error {
	take, outdated, err := checkDecree(c.l.hello(c.l.peer(theirs.Name)), theirs)
	if outdated != "" {
		c.l.becomeOutdated(outdated)
	}
	if take {
		return c.l.applyDecree(theirs.Decree, c)
	}
	return err
}

// becomeOutdated ends the service of an instance that had no part in its group's decree.
func (l *Links) becomeOutdated(reason string) {
	l.mu.Lock()
	first := l.outdated == ""
	l.outdated = reason
	l.mu.Unlock()
	if !first {
		return
	}
	l.o.Log.Error("OUTDATED: no clients are served any more, since the group has declared this instance lost", "reason", reason)
	if l.o.OnOutdated != nil {
		l.o.OnOutdated()
	}
}

// OutdatedReason returns the reason why no clients may be served. It is empty if they may.
func (l *Links) OutdatedReason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outdated
}

// Decree declares that the instances named in lost will not return, and that acknowledged messages
// which no other instance has are lost (R4). It returns when the decree is durable at each
// connected peer. The text of an error is meant for the operator.
func (l *Links) Decree(ctx context.Context, lost []string) (journal.Decree, error) {
	p, err := l.startDecree(lost, rand.Uint64())
	return p.decree, p.finish(ctx, err)
}

// EndDecree ends the standing decree.
func (l *Links) EndDecree(ctx context.Context) (journal.Decree, error) {
	p, err := l.startEndDecree()
	return p.decree, p.finish(ctx, err)
}

// A decreeProcess makes or ends a decree: an optional round of questions, and a round in which the
// peers take the decree.
type decreeProcess struct {
	l      *Links
	decree journal.Decree
	phase  uint64 // decreeAsk or decreeTake
	round  *decreeRound
}

// startDecree starts the first round of a decree. id is random.
func (l *Links) startDecree(lost []string, id uint64) (*decreeProcess, error) {
	had := l.o.Journal.Decree()
	d := journal.Decree{Incarnation: had.Incarnation + 1, ID: id, Members: []string{l.o.Name}, Lost: lost, Time: l.o.Now()}
	p := &decreeProcess{l: l, phase: decreeAsk}
	l.mu.Lock()
	problem := l.objectionLocked(had, d, true)
	for _, c := range l.linkedLocked() {
		d.Members = append(d.Members, c.peer.name)
	}
	l.mu.Unlock()
	slices.Sort(d.Members)
	if p.decree = d; problem != "" {
		return p, errors.New(problem)
	}
	p.round = l.startRound(decreeAsk, d)
	return p, nil
}

// startEndDecree starts the one round that ends the standing decree.
func (l *Links) startEndDecree() (*decreeProcess, error) {
	p := &decreeProcess{l: l, decree: l.o.Journal.Decree()}
	if !p.decree.Stands() {
		return p, errors.New("no decree stands: there is nothing to end")
	}
	p.decree.Ended = true
	return p, p.commit()
}

// commit takes the decree here and starts the round in which the connected peers take it.
func (p *decreeProcess) commit() error {
	if err := p.l.recordDecree(p.decree); err != nil {
		return err
	}
	p.phase, p.round = decreeTake, p.l.startRound(decreeTake, p.decree)
	return nil
}

// nextRound ends a round and starts the next one, if there is one.
func (p *decreeProcess) nextRound() (more bool, err error) {
	problems := p.l.endRound(p.round)
	switch {
	case p.phase == decreeAsk && problems != nil:
		return false, errors.New("nothing was declared: " + strings.Join(problems, "; "))
	case p.phase == decreeAsk:
		err = p.commit()
		return err == nil, err
	case problems != nil:
		return false, errors.New("the decree stands on this instance; a peer that has not confirmed it takes it when it is linked again: " + strings.Join(problems, "; "))
	}
	return false, p.l.becomeIntactByDecree()
}

// becomeIntactByDecree makes this instance intact if neither it nor a connected peer is. The decree
// has declared the loss of their journals.
func (l *Links) becomeIntactByDecree() error {
	l.mu.Lock()
	intact := l.Intact()
	for _, c := range l.linkedLocked() {
		intact = intact || c.theirs.Intact
	}
	l.mu.Unlock()
	if intact || failpoint.On(failpoint.R4DecreeNotIntact) {
		return nil
	}
	if err := l.o.Journal.BecomeIntact(); err != nil {
		return err
	}
	l.announceIntact()
	return nil
}

// finish waits for the end of all rounds. err is the error of starting the first one.
func (p *decreeProcess) finish(ctx context.Context, err error) error {
	for more := err == nil; more; {
		p.l.waitFor(ctx, p.round.done)
		more, err = p.nextRound()
	}
	return err
}

// objectionLocked returns the reason why a decree must not be made. It is empty if the decree may
// be made. had is the newest decree so far. own says that the decree is made here. If it is made
// elsewhere, a peer that is not connected here may be a member, because it is connected to the
// instance that makes the decree.
func (l *Links) objectionLocked(had, d journal.Decree, own bool) string {
	switch {
	case had.Stands():
		return fmt.Sprintf("the decree of incarnation %d has stood since %s: if there is a further loss, end it first, with --end",
			had.Incarnation, formatTime(had.Time))
	case had.Incarnation+1 != d.Incarnation:
		return fmt.Sprintf("%s is of incarnation %d already", l.o.Name, had.Incarnation)
	case l.outdated != "":
		return l.outdated
	case slices.Contains(d.Lost, l.o.Name):
		return l.o.Name + " is running: leave its name out"
	}
	for _, name := range d.Lost {
		switch p := l.peers[name]; {
		case p == nil && own:
			return fmt.Sprintf("%s is neither a destination nor a peer of %s: use the names of its configuration", name, l.o.Name)
		case p != nil && p.conn != nil && !failpoint.On(failpoint.R4DecreeLinked):
			return fmt.Sprintf("%s is connected with %s: stop it, or leave its name out", name, l.o.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.peers)) {
		if l.peers[name].conn == nil && !slices.Contains(d.Lost, name) && (own || !slices.Contains(d.Members, name)) {
			return fmt.Sprintf("%s is not connected with %s: start it, or name it if it will not return", name, l.o.Name)
		}
	}
	return ""
}

// applyDecree takes a decree that arrived over from, and passes it on to the other connected peers.
func (l *Links) applyDecree(d journal.Decree, from *conn) error {
	if err := l.recordDecree(d); err != nil {
		return err
	}
	frame := newFrame(frameDecree, &decreeMessage{kind: decreeTake, decree: d})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.linkedLocked() {
		if c != from {
			_ = c.queueLocked(frame) // if this fails, the next hello brings the decree
		}
	}
	return nil
}

// recordDecree makes a decree durable here. The start then no longer waits for the lost instances.
func (l *Links) recordDecree(d journal.Decree) error {
	if err := l.o.Journal.RecordDecree(d); err != nil {
		return err
	}
	if d.Ended {
		l.o.Log.Info("the decree has ended", "incarnation", d.Incarnation)
	} else {
		l.o.Log.Error("a decree stands: the operator has declared instances lost, and with them the messages that only they had",
			"incarnation", d.Incarnation, "lost", d.Lost, "members", d.Members)
	}
	l.mu.Lock()
	for _, name := range d.Lost {
		if p := l.peers[name]; p != nil && p.conn == nil {
			l.rejoin.Forget(name)
		}
	}
	l.mu.Unlock()
	l.wakeWatch()
	return nil
}

// noteReturned records that an instance which the decree calls lost has joined again. From now on
// this instance waits for it and asks it like any other.
func (l *Links) noteReturned(name string) {
	d := l.o.Journal.Decree()
	if !slices.Contains(d.Lost, name) {
		return
	}
	d.Lost = slices.DeleteFunc(d.Lost, func(n string) bool { return n == name })
	if err := l.o.Journal.RecordDecree(d); err != nil {
		l.o.Log.Error("cannot record that an instance has joined again", "peer", name, "error", err)
	}
}

// The kinds of a decree frame.
const (
	decreeAsk    = iota // would the peer object?
	decreeTake          // the peer must take the decree
	decreeAnswer        // the objection; empty: there is none, or the decree is durable
)

// A decreeMessage is the body of a decree frame. An answer has a problem in place of the decree.
type decreeMessage struct {
	number, kind uint64
	decree       journal.Decree
	problem      string
}

func (m *decreeMessage) fields(c codec) {
	c.uint(&m.number)
	if c.uintUpTo(&m.kind, decreeAnswer); m.kind == decreeAnswer {
		c.string(&m.problem)
	} else {
		decreeFields(c, &m.decree)
	}
}

// startRound asks the connected peers about a decree, or tells them to take it.
func (l *Links) startRound(kind uint64, d journal.Decree) *decreeRound {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastRound++
	r := &decreeRound{number: l.lastRound, open: make(map[*conn]bool), done: make(chan struct{})}
	frame := newFrame(frameDecree, &decreeMessage{number: r.number, kind: kind, decree: d})
	for _, c := range l.linkedLocked() {
		if err := c.queueLocked(frame); err != nil {
			r.problems = append(r.problems, fmt.Sprintf("%s: %v", c.peer.name, err))
			continue
		}
		r.open[c] = true
	}
	l.decreeRounds[r.number] = r
	r.closeIfAnswered()
	return r
}

// endRound ends a round and returns the objections.
func (l *Links) endRound(r *decreeRound) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.decreeRounds, r.number)
	for c := range r.open {
		r.problems = append(r.problems, c.peer.name+" has not answered in time")
	}
	return r.problems
}

func (r *decreeRound) closeIfAnswered() {
	if len(r.open) == 0 && !isClosed(r.done) {
		close(r.done)
	}
}

// addAnswer handles the answer of c's peer. An empty problem means no objection.
func (r *decreeRound) addAnswer(c *conn, problem string) {
	if !r.open[c] {
		return
	}
	delete(r.open, c)
	if problem != "" {
		r.problems = append(r.problems, problem)
	}
	r.closeIfAnswered()
}

// dropFromRoundsLocked ends all rounds for c, whose peer cannot answer any more.
func (l *Links) dropFromRoundsLocked(c *conn) {
	for _, r := range l.decreeRounds {
		if c.peer != nil {
			r.addAnswer(c, "the link with "+c.peer.name+" has ended")
		}
	}
}

// handleDecree handles a decree frame.
func (c *conn) handleDecree(d *decoder) error {
	var m decreeMessage
	if err := d.body(&m); err != nil {
		return err
	}
	if m.kind == decreeAnswer {
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		if r := c.l.decreeRounds[m.number]; r != nil {
			r.addAnswer(c, m.problem)
		}
		return nil
	}
	problem, err := c.answerDecree(m.kind, m.decree)
	if err != nil {
		return err
	}
	answer := newFrame(frameDecree, &decreeMessage{number: m.number, kind: decreeAnswer, problem: problem})
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.queueLocked(answer)
}

// answerDecree returns the objection to a peer's decree, or takes the decree. The condition for
// taking it is the same as for the decree in a hello.
func (c *conn) answerDecree(kind uint64, d journal.Decree) (problem string, err error) {
	if kind == decreeAsk {
		had := c.l.o.Journal.Decree()
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		return c.l.objectionLocked(had, d, false), nil
	}
	theirs := *c.theirs
	theirs.Decree = d
	return "", c.reconcileDecree(&theirs)
}

func decreeFields(c codec, d *journal.Decree) {
	c.sequence(&d.Incarnation)
	c.uint(&d.ID)
	list(c, &d.Members, 1, maxPatterns, c.string)
	list(c, &d.Lost, 1, maxPatterns, c.string)
	c.time(&d.Time)
	c.micros(&d.Age, journal.DecreeLifetime)
	c.bool(&d.Ended)
}
