package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// AccessCounts count what runs with users cover.
type AccessCounts struct {
	Runs       uint64 // with users
	Changes    uint64 // of permissions
	Removed    uint64 // users that a change removed
	Rejected   uint64 // messages that an instance rejected as not entitled
	Differ     uint64 // sessions ended because permissions differ
	NoUser     uint64 // logons of removed users
	OtherOwner uint64 // logons refused because the store belongs to another user
	Ended      uint64 // subscriptions ended because the user may not have the topic
	Withheld   uint64 // messages that a subscriber may miss because its user might not have them
	Owned      uint64 // publishers that had no owner and got one, once for each instance
	Contrary   uint64 // runs that ended early: a message was accepted by one instance and rejected by another that did not know, or before an old image brought it back
}

// add adds the counts of another run.
func (c *AccessCounts) add(o AccessCounts) {
	c.Runs += o.Runs
	c.Changes += o.Changes
	c.Removed += o.Removed
	c.Rejected += o.Rejected
	c.Differ += o.Differ
	c.NoUser += o.NoUser
	c.OtherOwner += o.OtherOwner
	c.Ended += o.Ended
	c.Withheld += o.Withheld
	c.Owned += o.Owned
	c.Contrary += o.Contrary
}

// A verdict is the decision of an instance about a message that its user might not publish.
type verdict struct {
	instance *instance
	version  uint64 // of its permissions
	at       time.Duration
}

// recorded checks a record of a session. Its user must own the publisher (R10). A message must be
// one that the user may publish by the permissions of the instance, a rejection one that it may not.
func (o *oracle) recorded(i *instance, r *ledger.Record) {
	l := o.lives[r.Publisher]
	if l == nil || !o.w.settings.users {
		return
	}
	if user := string(r.User); i.access != nil && user != l.owner.user {
		o.violate("%s has a record %d of user %q in %s, which belongs to %q", i.name, r.Sequence, user, l.id, l.owner.user)
	}
	m := l.message(r.Sequence)
	may := i.access.allows(denial{l.owner.user, false, string(r.Topic)})
	switch {
	case m == nil:
	case r.Kind == journal.Message && !may:
		o.violate("%s takes %s|%d, which its user may not publish", i.name, l.id, r.Sequence)
	case r.Kind == journal.Message:
		o.noteTaken(i, l, m)
	case r.Kind == journal.Tombstone && string(r.Reason) == wire.ReasonNotEntitled && may:
		o.violate("%s rejects %s|%d as not entitled although its user may publish it", i.name, l.id, r.Sequence)
	case r.Kind == journal.Tombstone && string(r.Reason) == wire.ReasonNotEntitled:
		o.noteDenied(i, l, m)
	}
}

// noteTaken notes that an instance has accepted a message. No other one may have rejected it, and
// its publisher may not have been told so, unless a power cut took that from its store.
func (o *oracle) noteTaken(i *instance, l *life, m *message) {
	m.taken = true
	if m.toldDenied && m.toldBoot == l.owner.boot {
		o.violate("%s takes %s|%d although its publisher was told that it is rejected", i.name, l.id, m.Sequence)
	}
	for _, p := range o.w.instances {
		if p == i || !p.has(l, m.Sequence) {
			continue
		}
		for _, v := range m.denied { // perhaps by i itself, which has lost its disk since
			// The permissions may have changed since. An instance cannot know what a peer has rejected just
			// now, that is absent or does not replicate here, and the third one cannot know it in time.
			knows := i.isLinked(p.name) && !p.oneWay && !i.spare && !p.spare && o.w.now-v.at >= permissionsDelay
			o.contradicted(i.permissionsVersion() != v.version && !knows, "%s takes %s|%d, which %s has rejected, and %s has that", i.name, l.id, m.Sequence, v.instance.name, p.name)
		}
	}
	m.denied = nil
}

// noteDenied notes that an instance has rejected a message as not entitled (R14). It must know that
// the other one of the pair would do the same, unless that has been away for too long.
func (o *oracle) noteDenied(i *instance, l *life, m *message) {
	o.w.counts.Access.Rejected++
	absent := i.isAbsent()
	for _, p := range o.w.instances {
		rejectedToo := slices.ContainsFunc(m.denied, func(v verdict) bool { return v.instance == p })
		if p != i && m.taken && !rejectedToo && p.has(l, m.Sequence) {
			// An instance that does not replicate here does not tell what it has. The permissions of the
			// third one do not count for the pair, those of the pair count for the third one.
			o.contradicted(absent || p.spare || p.oneWay, "%s rejects %s|%d as not entitled, which %s has accepted", i.name, l.id, m.Sequence, p.name)
		}
	}
	m.wasDenied = true
	m.denied = append(m.denied, verdict{i, i.access.version, o.w.now})
	o.w.logf("%s rejects %s|%d", i.name, l.id, m.Sequence)
	if p := i.partner(); p != nil && !absent && o.differLong(i, p) {
		o.violate("%s rejects %s|%d as not entitled although %s has other permissions", i.name, l.id, m.Sequence, p.name)
	}
}

const (
	// permissionsGrace is how long an absent instance keeps its peer from rejecting a message.
	permissionsGrace = time.Minute
	// permissionsDelay is how long an instance may take to learn of other permissions of its peer:
	// a stop and a link that is not yet found to be dead.
	permissionsDelay = 9 * time.Second
)

// permissionsVersion returns the version of the permissions, 0 if the instance has no users.
func (i *instance) permissionsVersion() uint64 {
	version, _ := i.access.hash()
	return version
}

// partner returns the other one of the pair, nil for an instance that is not of the pair.
func (i *instance) partner() *instance {
	if i.spare || i.foreign {
		return nil
	}
	return i.other()
}

// isAbsent reports whether the other one of the pair was not linked for longer than it counts.
func (i *instance) isAbsent() bool {
	p := i.partner()
	return p != nil && !i.isLinked(p.linkName) && i.w.now-i.peerSeen >= permissionsGrace
}

// differLong reports whether two instances have had other permissions for so long that both know.
func (o *oracle) differLong(a, b *instance) bool {
	_, ours := a.access.hash()
	_, theirs := b.access.hash()
	return ours != theirs && o.w.now-max(a.accessSince, b.accessSince) >= permissionsDelay
}

// has reports whether an instance has a publisher up to a number, in its journal or on its disk.
func (i *instance) has(l *life, seq uint64) bool {
	if i.j != nil {
		return i.state(l).Have >= seq
	}
	return i.disk.durable[l.publisher] >= seq
}

// contradicted notes that one instance has accepted a message that another has rejected. Where that
// is excused the publisher has diverged (R11), which is not the subject here: the run ends.
func (o *oracle) contradicted(excused bool, format string, args ...any) {
	if !excused {
		o.violate(format, args...)
		return
	}
	o.w.logf("contradiction: "+format, args...)
	o.w.counts.Access.Contrary++
	panic(stopRun{})
}

// checkOwners checks that no publisher has another owner than its user, and none has lost it.
func (o *oracle) checkOwners(i *instance) {
	if !o.w.settings.users || i.foreign {
		return
	}
	for _, l := range o.order {
		s := i.state(l)
		switch {
		case s.Have == 0 || s.Diverged > 0:
			delete(l.unowned, i)
		case s.Owner != "" && s.Owner != l.owner.user:
			o.violate("%s has the owner %q of %s, which belongs to %q", i.name, s.Owner, l.id, l.owner.user)
		case s.Owner == "" && o.w.settings.usersFrom == 0 && !o.w.damaged:
			o.violate("%s has no owner of %s up to %d, which belongs to %q", i.name, l.id, s.Have, l.owner.user)
		case s.Owner == "":
			l.unowned[i] = true
		case l.unowned[i]:
			delete(l.unowned, i)
			o.w.counts.Access.Owned++
		}
	}
}

// checkDelivery checks that an instance delivers a message to a user who may have it now.
func (o *oracle) checkDelivery(s *session, topic string) {
	user, _ := s.core.User()
	if !s.i.access.allows(denial{user, true, topic}) {
		o.violate("%s delivers a message of topic %s to %q, who may not have it", s.i.name, topic, user)
	}
}

// A withholding is a time in which an instance might not deliver a topic to a subscriber.
type withholding struct {
	passed bookmark.Vector // by the subscriber's place, at the lowest since; nil: it has had no process
}

// mayBeDenied reports whether an instance may not deliver the topic of a subscriber to it, or has
// not been able to for a short time.
func (o *oracle) mayBeDenied(s *subscriber) bool {
	return o.isDenied(s, s.topic) || o.w.now-o.readers[s].deniedUntil[s.topic] < permissionsDelay
}

// isDenied reports whether an instance may not deliver a topic to a subscriber.
func (o *oracle) isDenied(s *subscriber, topic string) bool {
	return slices.ContainsFunc(o.w.instances[:2], func(i *instance) bool { return !i.access.allows(denial{s.user, true, topic}) })
}

// permissionsChanged notes the topics that are withheld from subscribers from now on, and those
// that no longer are.
func (o *oracle) permissionsChanged() {
	for _, s := range o.w.subscribers {
		r := o.readers[s]
		for _, topic := range []string{topicA, topicB} {
			denied := o.isDenied(s, topic)
			switch held := r.withheld[topic]; {
			case denied && held == nil:
				r.withheld[topic] = new(withholding)
				if s.alive {
					r.withheld[topic].lower(s)
				}
			case !denied && held != nil:
				delete(r.withheld, topic)
				r.deniedUntil[topic] = o.w.now
				o.excuseWithheld(r, topic, held)
			}
		}
	}
}

// lower notes the place of a subscriber.
func (h *withholding) lower(s *subscriber) {
	place, _ := s.sub.Place().Received()
	if h.passed == nil {
		h.passed = maps.Clone(place)
		return
	}
	for p, seq := range h.passed {
		h.passed[p] = min(seq, place[p])
	}
}

// placeFellBack notes the place of a subscriber whose process has just begun.
func (o *oracle) placeFellBack(s *subscriber) {
	for _, h := range o.readers[s].withheld {
		h.lower(s)
	}
}

// excuseWithheld notes the messages that a subscriber need not be handed: those of the topic that
// its place may have passed while the topic was withheld.
func (o *oracle) excuseWithheld(r *reader, topic string, h *withholding) {
	if h.passed == nil {
		return
	}
	for _, l := range o.order {
		for _, m := range l.messages[min(h.passed[l.publisher], uint64(len(l.messages))):] {
			if m.Topic == topic {
				r.excused[bookmark.Bookmark{Publisher: l.publisher, Sequence: m.Sequence}] = true
			}
		}
	}
}

// mayHavePassed reports whether a subscriber may have passed a message that was rejected. If only one
// disk has the rejection, and is lost, the message may be accepted later. Only a fully durable
// subscription waits until both have it (R13).
func (o *oracle) mayHavePassed(fullyDurable bool, m *message) bool {
	return m.wasDenied && o.diskLost && !fullyDurable
}

// withheldGaps returns the messages that a subscriber was not handed and need not be, as gaps.
func (o *oracle) withheldGaps(r *reader) (gaps []checker.Gap) {
	for _, l := range o.order {
		for _, m := range l.messages {
			b := bookmark.Bookmark{Publisher: l.publisher, Sequence: m.Sequence}
			if !r.excused[b] && !o.mayHavePassed(r.FullyDurable, m) {
				continue
			}
			if r.handed[b] == nil {
				o.w.counts.Access.Withheld++
			}
			if n := len(gaps); n > 0 && gaps[n-1].Publisher == b.Publisher && gaps[n-1].Through+1 == b.Sequence {
				gaps[n-1].Through++
				continue
			}
			gaps = append(gaps, checker.Gap{Publisher: b.Publisher, From: b.Sequence, Through: b.Sequence})
		}
	}
	return gaps
}

// dropLost removes from the history of a subscriber the messages that it was handed before they were
// safe, that were lost with the only disk, and that were rejected when they were sent again.
func (o *oracle) dropLost(r *reader) {
	for n := range r.Processes {
		r.Processes[n] = slices.DeleteFunc(r.Processes[n], func(d *checker.Delivery) bool {
			m := o.message(d.Publisher, d.Sequence)
			return m != nil && m.taken && len(m.denied) > 0
		})
	}
}

// hasRevived reports whether a restored image may have a message that was rejected since the image
// was taken (R14).
func (o *oracle) hasRevived(m *message) bool {
	return slices.ContainsFunc(o.revived, func(r revival) bool {
		return slices.ContainsFunc(m.denied, func(v verdict) bool { return r.taken < v.at && v.at < r.restored })
	})
}

// settleKinds finds the kind of the records that stand for each message that an instance has
// rejected as not entitled. If a journal has the message, all must have it. Otherwise none may, and
// no subscriber may have been handed it.
func (o *oracle) settleKinds(journals []checker.Journal) {
	messages, tombstones, others := make(map[bookmark.Bookmark]bool), make(map[bookmark.Bookmark]bool), make(map[bookmark.Bookmark]bool)
	for _, j := range journals {
		for _, r := range j.Records {
			messages[r.Bookmark] = messages[r.Bookmark] || r.Kind == journal.Message
			tombstones[r.Bookmark] = tombstones[r.Bookmark] || r.Kind == journal.Tombstone
			others[r.Bookmark] = others[r.Bookmark] || r.Kind != journal.Message // a tombstone, as journal shows it
		}
	}
	for _, l := range o.order {
		for _, m := range l.messages {
			at := bookmark.Bookmark{Publisher: l.publisher, Sequence: m.Sequence}
			rejected := len(m.denied) > 0 || m.toldDenied
			if messages[at] && others[at] && o.hasRevived(m) {
				o.contradicted(true, "an old image has %s|%d, which was rejected after the image was taken", l.id, m.Sequence)
			}
			if rejected && !messages[at] && (tombstones[at] || o.w.settings.retain == 0) {
				m.Kind = journal.Tombstone
			}
		}
	}
}
