package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A clusterStep is what becomes of two instances that meet, by their cluster ids.
type clusterStep uint8

const (
	clusterLink  clusterStep = iota // they are of one group, or the peer becomes one of ours
	clusterAdopt                    // we become one of the peer's
	clusterFound                    // neither has an id: we make it
	clusterWait                     // neither has an id, and we don't make it
	clusterOther                    // they are of two groups
)

// decideCluster decides that from our hello and the peer's. founds says whether we
// make an id if neither has one.
func decideCluster(ours, theirs *Hello, founds bool) clusterStep {
	switch us, them := ours.Cluster, theirs.Cluster; {
	case us.IsZero() && !them.IsZero():
		return clusterAdopt
	case us.IsZero() && founds:
		return clusterFound
	case us.IsZero():
		return clusterWait
	case us == them, them.IsZero() && theirs.Empty, mut.On(mut.R2AnyCluster):
		return clusterLink
	}
	return clusterOther
}

// joinCluster has the two instances of a connection be of one group, or refuses the
// peer. It may only be called for a peer that has proven itself.
func (c *conn) joinCluster() error {
	c.l.noteEmpty(c.hello)
	for {
		ours := &Hello{Name: c.l.o.Name}
		c.l.tellCluster(ours)
		var err error
		switch decideCluster(ours, c.hello, c.l.founds()) {
		case clusterAdopt:
			err = c.l.adopt(c.hello)
		case clusterFound:
			err = c.l.found()
		case clusterWait:
			return c.waitForCluster()
		case clusterOther:
			return c.otherCluster(ours, c.hello)
		case clusterLink:
			return c.dialAgain()
		}
		if err != nil {
			return err
		}
	}
}

// waitForCluster ends a connection of two that both wait for another one, which is no
// refusal. If the peer has dialled it may be the one that makes the id, and decides later.
func (c *conn) waitForCluster() error {
	if !c.dialled {
		return nil
	}
	return fmt.Errorf("neither %q nor %q has met its group, of which another instance may have what is missing here: %s", c.l.o.Name, c.hello.Name, adviceToBegin)
}

// dialAgain ends a connection on which neither side has said the cluster id that is
// known since: the next one begins with it.
func (c *conn) dialAgain() error {
	if c.dialled && c.ours.Cluster.IsZero() && c.hello.Cluster.IsZero() {
		return &RefusedError{Code: refuseCrossed, Reason: "the cluster id has just been made: the next connection says it"}
	}
	return nil
}

const adviceToBegin = "start all of them, or, to begin without the others, one with -bootstrap"

// founds reports whether this instance makes the id if it meets one without: of those
// that know each other it is one, so that no two make different ones, and it has met
// all that it knows, so that it does not begin beside one that has the group's records.
func (l *Links) founds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, p := range l.peers {
		if name < l.o.Name || !p.metEmpty && !mut.On(mut.R2FoundsBesideOne) {
			return false
		}
	}
	return true
}

// noteEmpty notes whether a peer that was met has an empty journal and no cluster id.
func (l *Links) noteEmpty(theirs *Hello) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers[theirs.Name].metEmpty = theirs.Empty && theirs.Cluster.IsZero()
}

// found has this instance begin a group.
func (l *Links) found() error {
	c, err := l.o.Journal.Found()
	if err == nil {
		l.o.Log.Info("this instance begins a group: its journal has made the cluster id", "cluster", c.ID)
	}
	return l.joined(err)
}

// adopt has this instance become one of the peer's group.
func (l *Links) adopt(theirs *Hello) error {
	err := l.o.Journal.Adopt(theirs.Cluster)
	if err == nil {
		l.o.Log.Info("this instance becomes one of its peer's group: its journal was empty", "peer", theirs.Name, "cluster", theirs.Cluster)
	}
	return l.joined(err)
}

// joined returns err, unless the journal has a cluster id, by another connection that
// has been faster.
func (l *Links) joined(err error) error {
	if l.o.Journal.Cluster().ID.IsZero() {
		return err
	}
	l.look()
	return nil
}

// beginAlone makes the cluster id if this instance need not meet its group first.
func (l *Links) beginAlone() error {
	j := l.o.Journal
	switch {
	case !j.Cluster().ID.IsZero():
		return nil
	case l.Lone(), l.o.Bootstrap, !j.Empty() && j.Damage() == nil, mut.On(mut.R2FoundsAlone):
		return l.found()
	}
	return nil
}

// Cluster implements [ledger.Group].
func (l *Links) Cluster() string { return l.o.Journal.Cluster().ID.String() }

// Intact implements [ledger.Group].
func (l *Links) Intact() bool {
	return l.o.Journal.Cluster().Intact && l.o.Journal.Damage() == nil
}

// tellCluster puts into a hello what the journal is of.
func (l *Links) tellCluster(h *Hello) {
	h.Cluster, h.Intact = l.o.Journal.Cluster().ID, l.Intact()
	h.Empty = l.o.Journal.Empty() || h.Cluster.IsZero() // a damaged one that has lost its id has all from its group
}

// otherCluster refuses a peer of another group, and shows it.
func (c *conn) otherCluster(ours, theirs *Hello) error {
	empty := ""
	switch {
	case theirs.Empty:
		empty = theirs.Name
	case ours.Empty:
		empty = ours.Name
	}
	advice := "correct the address; if they belong together, keep one journal and remove the data directory of the other"
	if empty != "" {
		advice = fmt.Sprintf("correct the address; if they belong together, stop %q, whose journal is empty, remove its data directory "+
			"and start it without -bootstrap, which was wrong there", empty)
	}
	theirID := theirs.Cluster.Short()
	if theirs.Cluster.IsZero() {
		theirID = "none"
	}
	err := &RefusedError{Code: refuseCluster, Reason: fmt.Sprintf("two clusters: %q is of %s, %q of %s; nothing goes over: %s",
		theirs.Name, theirID, ours.Name, ours.Cluster.Short(), advice)}
	c.l.noteForeign(c.l.peers[theirs.Name], err, !c.dialled)
	return err
}

// noteForeign notes that one of another cluster was met, and counts it if it has dialled.
func (l *Links) noteForeign(p *peer, err error, counts bool) {
	now := l.now()
	l.mu.Lock()
	news := p.foreign.give(now)
	l.metOther = true
	if counts {
		p.refused.Add(1)
	}
	if p.conn == nil {
		p.reason = err.Error()
	}
	l.mu.Unlock()
	if news {
		l.o.Log.Error("an instance of another cluster under the name of a peer", "peer", p.name, "reason", err)
	}
}

// A membership is what the journal says of its group, as last looked at.
type membership struct {
	known, empty, intact bool
	says                 time.Duration // when to say next that the group was not met; 0: after RejoinTimeout
}

// saysAgain is how often an instance says that it waits for its group.
const saysAgain = time.Minute

// lookAtCluster looks what the journal says now.
func (l *Links) lookAtCluster() (m membership) {
	if !l.rejoining.Load() {
		return m
	}
	j := l.o.Journal
	return membership{known: !j.Cluster().ID.IsZero(), empty: j.Empty(), intact: l.Intact()}
}

// homelessLocked reports whether clients are not to be served since the journal is
// empty and the group was not met, or is another one by what a peer has said: then
// what is missing is there, also when that peer goes away.
func (l *Links) homelessLocked() bool {
	return !l.member.known || l.member.empty && l.metOther && !mut.On(mut.R6BesideItsGroup)
}

// sayHomelessLocked says every so often that nobody is served.
func (l *Links) sayHomelessLocked(now time.Duration) {
	if now < l.saysAtLocked() {
		return
	}
	l.member.says = now + saysAgain
	missing, why := l.rejoin.Missing(), "no instance of the group was met, which may have all that is missing here; "+
		"if there is none and this is to be the first, start it with -bootstrap"
	if l.member.known {
		why = "a peer's is of another cluster"
	}
	l.after = append(l.after, func() { l.o.Log.Error("nobody is served: the journal is empty, and "+why, "peers", missing) })
}

// saysAtLocked returns when that is said next.
func (l *Links) saysAtLocked() time.Duration { return max(l.member.says, l.o.RejoinTimeout) }

// becomeIntact has the journal keep that it has what the group has.
func (l *Links) becomeIntact() {
	if err := l.o.Journal.BecomeIntact(); err != nil {
		l.o.Log.Error("noting that the journal is intact", "error", err)
		return
	}
	l.o.Log.Info("the journal is intact: it has all that an intact peer had")
	l.sayIntact()
	l.look()
}

// errIntact ends a link whose hellos said of neither instance that it is intact.
var errIntact = errors.New("this instance has become intact since its hello: it links again and says so")

// sayIntact ends the links whose peers may become intact by this instance, now that
// it is: its next hello says so.
func (l *Links) sayIntact() {
	if !l.Intact() || mut.On(mut.R6IntactUnsaid) {
		return
	}
	l.mu.Lock()
	l.saysIntact = true
	conns := l.linkedLocked()
	l.mu.Unlock()
	for _, c := range conns {
		if c.nobodyIntact() {
			c.fail(errIntact)
		}
	}
}

// nobodyIntact reports whether the hellos of a connection said of neither side that it
// is intact.
func (c *conn) nobodyIntact() bool { return !c.ours.Intact && !c.theirs.Intact }
