package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/logging"
)

// A clusterStep is the result of comparing the cluster ids of two instances that meet.
type clusterStep uint8

const (
	clusterLink  clusterStep = iota // both belong to one group, or the peer joins ours
	clusterAdopt                    // this instance joins the peer's group
	clusterNew                      // neither has an id: this instance makes it
	clusterWait                     // neither has an id, and another instance makes it
	clusterOther                    // they belong to two groups
)

// decideCluster compares our hello with the peer's. founds says whether this instance makes an id
// if neither side has one.
func decideCluster(ours, theirs *Hello, founds bool) clusterStep {
	switch us, them := ours.Cluster, theirs.Cluster; {
	case us.IsZero() && !them.IsZero():
		return clusterAdopt
	case us.IsZero() && founds:
		return clusterNew
	case us.IsZero():
		return clusterWait
	case us == them, them.IsZero() && theirs.Empty, failpoint.On(failpoint.R2AnyCluster):
		return clusterLink
	}
	return clusterOther
}

// joinCluster makes the two instances of a connection members of one group, or refuses the peer.
// It must be called only after the peer has proven itself.
func (c *conn) joinCluster() error {
	c.l.noteEmpty(c.hello)
	for {
		ours := &Hello{Name: c.l.o.Name}
		c.l.setClusterFields(ours)
		var err error
		switch decideCluster(ours, c.hello, c.l.foundsCluster()) {
		case clusterAdopt:
			err = c.l.adoptCluster(c.hello)
		case clusterNew:
			err = c.l.foundCluster()
		case clusterWait:
			return c.waitForCluster()
		case clusterOther:
			return c.refuseOtherCluster(ours, c.hello)
		case clusterLink:
			return c.redialWithCluster()
		}
		if err != nil {
			return err
		}
	}
}

// waitForCluster ends the connection if both instances wait for another one to make the cluster id.
// That is not a refusal. If the peer has dialled, it may be the one that makes the id, so the peer
// decides.
func (c *conn) waitForCluster() error {
	if !c.dialled {
		return nil
	}
	return fmt.Errorf("neither %q nor %q has met the other instances of its group, which may have records that are missing here: %s", c.l.o.Name, c.hello.Name, bootstrapAdvice)
}

// redialWithCluster ends a connection whose hellos had no cluster id, now that the id is known. The
// next connection begins with it.
func (c *conn) redialWithCluster() error {
	if c.dialled && c.ours.Cluster.IsZero() && c.hello.Cluster.IsZero() {
		return &RefusedError{Code: refuseCrossed, Reason: "the cluster id has just been created: the next connection sends it"}
	}
	return nil
}

const bootstrapAdvice = "start all of them, or start one with -bootstrap to begin without the others"

// foundsCluster reports whether this instance makes the cluster id when it meets a peer without
// one. Of the instances that know each other only one does, so no two make different ids. That one
// must have met all instances that it knows, so that it does not begin a group beside an instance
// that has the group's records.
func (l *Links) foundsCluster() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, p := range l.peers {
		if name < l.o.Name || !p.metEmpty && !failpoint.On(failpoint.R2FoundsDespiteThird) {
			return false
		}
	}
	return true
}

// noteEmpty records whether the peer of a hello has an empty journal and no cluster id.
func (l *Links) noteEmpty(theirs *Hello) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peers[theirs.Name].metEmpty = theirs.Empty && theirs.Cluster.IsZero()
}

// foundCluster begins a group with this instance.
func (l *Links) foundCluster() error {
	c, err := l.o.Journal.FoundCluster()
	if err == nil {
		l.o.Log.Info("this instance begins a group: its journal has made the cluster id", "cluster", c.ID)
	}
	return l.joinError(err)
}

// adoptCluster joins the peer's group.
func (l *Links) adoptCluster(theirs *Hello) error {
	err := l.o.Journal.AdoptCluster(theirs.Cluster)
	if err == nil {
		l.o.Log.Info("this instance joins the group of its peer: its journal was empty", "peer", theirs.Name, "cluster", theirs.Cluster)
	}
	return l.joinError(err)
}

// joinError drops err if the journal has a cluster id, which means that another connection was
// faster.
func (l *Links) joinError(err error) error {
	if l.o.Journal.Cluster().ID.IsZero() {
		return err
	}
	l.wakeWatch()
	return nil
}

// foundClusterAlone makes the cluster id if this instance may begin without having met its group.
func (l *Links) foundClusterAlone() error {
	j := l.o.Journal
	switch {
	case !j.Cluster().ID.IsZero():
		return nil
	case l.Lone(), l.o.Bootstrap, !j.Empty() && j.Damage() == nil, failpoint.On(failpoint.R2FoundsAlone):
		return l.foundCluster()
	}
	return nil
}

// Cluster implements [ledger.Group].
func (l *Links) Cluster() string { return l.o.Journal.Cluster().ID.String() }

// Intact implements [ledger.Group].
func (l *Links) Intact() bool {
	return l.o.Journal.Cluster().Intact && l.o.Journal.Damage() == nil
}

// setClusterFields writes the journal's cluster fields into a hello.
func (l *Links) setClusterFields(h *Hello) {
	h.Cluster, h.Intact = l.o.Journal.Cluster().ID, l.Intact()
	h.Empty = l.o.Journal.Empty() || h.Cluster.IsZero() // a damaged journal that has lost its id gets everything from its group
}

// refuseOtherCluster refuses a peer of another group and shows that in log and status.
func (c *conn) refuseOtherCluster(ours, theirs *Hello) error {
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
	err := &RefusedError{Code: refuseCluster, Reason: fmt.Sprintf("two clusters: %q is of %s, but %q is of %s; nothing is replicated: %s",
		theirs.Name, theirID, ours.Name, ours.Cluster.Short(), advice)}
	c.l.noteForeign(c.l.peers[theirs.Name], err, !c.dialled)
	return err
}

// noteForeign records that an instance of another cluster was met. refused says that it has dialled
// and was refused here.
func (l *Links) noteForeign(p *peer, err error, refused bool) {
	now := l.now()
	l.mu.Lock()
	first := p.foreign.record(now)
	l.metOtherCluster = true
	if refused {
		p.refused.Add(1)
	}
	if p.conn == nil {
		p.reason = err.Error()
	}
	l.mu.Unlock()
	if first {
		l.o.Log.Error("an instance of another cluster uses the name of a peer", "peer", p.name, "reason", err)
	}
}

// A membership is the journal's information about its group, as last read.
type membership struct {
	known, empty, intact bool
	nextLog              time.Duration // when to log next that the group was not met; 0: after RejoinTimeout
	logged               int           // how often that was logged
}

// logInterval returns the time until the next line that says that the group was not met: the lines
// grow rarer.
func (m *membership) logInterval() time.Duration {
	return min(time.Minute<<min(m.logged, 6), logging.RemindEvery)
}

// readMembership reads the membership from the journal while the instance rejoins.
func (l *Links) readMembership() (m membership) {
	if !l.rejoining.Load() {
		return m
	}
	j := l.o.Journal
	return membership{known: !j.Cluster().ID.IsZero(), empty: j.Empty(), intact: l.Intact()}
}

// groupUnknownLocked reports whether clients must not be served because the journal has no cluster
// id, or because it is empty and a peer of another cluster was met. In the second case the other
// cluster has the missing records, even after that peer has gone.
func (l *Links) groupUnknownLocked() bool {
	return !l.member.known || l.member.empty && l.metOtherCluster && !failpoint.On(failpoint.R6ServesOutsideGroup)
}

// logGroupUnknownLocked logs at intervals that no clients are served.
func (l *Links) logGroupUnknownLocked(now time.Duration) {
	if now < l.nextGroupLogLocked() {
		return
	}
	l.member.nextLog = now + l.member.logInterval()
	l.member.logged++
	missing, known := l.rejoin.Awaited(), l.member.known
	l.deferLocked(func() {
		if known {
			l.o.Log.Error("no clients are served: the journal is empty, and the journal of a peer belongs to another cluster", "peers", missing)
		} else {
			l.o.Log.Error("no clients are served: the journal is empty, and no other instance of the group was met, which may have messages; "+
				"to begin a new group with this instance, start it with -bootstrap", "peers", missing)
		}
	})
}

// nextGroupLogLocked returns when logGroupUnknownLocked logs next.
func (l *Links) nextGroupLogLocked() time.Duration { return max(l.member.nextLog, l.o.RejoinTimeout) }

// becomeIntact records in the journal that it is intact.
func (l *Links) becomeIntact() {
	if err := l.o.Journal.BecomeIntact(); err != nil {
		l.o.Log.Error("cannot record that the journal is intact", "error", err)
		return
	}
	l.o.Log.Info("the journal is intact: it has everything that an intact peer had")
	l.announceIntact()
	l.wakeWatch()
}

// errIntact ends a link in whose hellos neither instance was intact.
var errIntact = errors.New("this instance has become intact since its hello: it links again to announce that")

// announceIntact ends the links whose peers may become intact by this instance, now that it is
// intact itself. The next hello announces it.
func (l *Links) announceIntact() {
	if !l.Intact() || failpoint.On(failpoint.R6IntactNotTold) {
		return
	}
	l.mu.Lock()
	l.announcedIntact = true
	conns := l.linkedLocked()
	l.mu.Unlock()
	for _, c := range conns {
		if c.neitherIntact() {
			c.closeWith(errIntact)
		}
	}
}

// neitherIntact reports whether neither hello of a connection said that its side is intact.
func (c *conn) neitherIntact() bool { return !c.ours.Intact && !c.theirs.Intact }
