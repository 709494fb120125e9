package sim

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// The users of a run with users. A client is the user that it says it is: how it proves that is
// not the subject here.
const (
	userRed    = "red"    // publishes with two stores
	userBlue   = "blue"   // publishes with one
	userReader = "reader" // subscribes
	userOdd    = "odd"    // subscribes
	userForger = "forger" // of forgers; it may do everything
)

// A denial is something that a user may not do.
type denial struct {
	user      string
	subscribe bool // to the topic; otherwise publish
	topic     string
}

// A permissions is one version of the permissions of all users, as a file of users has it.
type permissions struct {
	version uint64
	denied  map[denial]bool
	removed string // a user that does not exist in this version; empty: none
	byUser  map[string]*servercore.Permissions
}

// hash identifies the permissions. That of no users is zero.
func (p *permissions) hash() (version uint64, hash [32]byte) {
	if p == nil {
		return 0, hash
	}
	binary.LittleEndian.PutUint64(hash[:], p.version)
	return p.version, hash
}

// allows reports whether a user may do something. Without users everybody may do everything.
func (p *permissions) allows(d denial) bool { return p == nil || p.removed != d.user && !p.denied[d] }

// of returns the permissions of a user, nil if there is no such user.
func (p *permissions) of(user string) *servercore.Permissions {
	if user == "" || user == p.removed {
		return nil
	}
	if p.byUser[user] == nil {
		p.byUser[user] = &servercore.Permissions{
			Publish:   func(topic []byte) bool { return p.allows(denial{user, false, string(topic)}) },
			Subscribe: func(topic []byte) bool { return p.allows(denial{user, true, string(topic)}) },
		}
	}
	return p.byUser[user]
}

// A userChanges is the changes of a run's users.
type userChanges struct {
	newest    *permissions
	reachedAt time.Duration // when the last instance is to have it
}

// drawUsers draws whether the run has users. They have a random stream of their own, so that a
// run without users does the same as before there were any.
func (w *world) drawUsers() {
	r, s := w.access, &w.settings
	s.users = !w.options.NoUsers && r.IntN(2) == 0
	if s.users && r.IntN(3) == 0 {
		s.usersFrom = between(r, 2*time.Second, s.length/2)
	}
	if s.users && r.IntN(4) > 0 {
		// The permissions of the third instance do not count for the pair (R14): a message that one has
		// accepted may be rejected by the other, and its publisher diverges. A run ends when that happens.
		s.publishToSpare = false
	}
	if s.users && r.IntN(12) == 0 {
		s.longAbsence, s.length = true, s.length+permissionsGrace+20*time.Second
	}
}

// user returns the user of an application, empty in a run without users.
func (w *world) user(name string) string {
	if !w.settings.users {
		return ""
	}
	return name
}

// startUsers plans all that happens to the users of the run.
func (w *world) startUsers() {
	if !w.settings.users {
		return
	}
	w.counts.Access.Runs++
	w.users.newest = &permissions{version: 1, byUser: make(map[string]*servercore.Permissions)}
	if w.settings.usersFrom == 0 {
		for _, i := range w.instances {
			i.usersFile = w.users.newest
		}
	} else {
		w.after(w.settings.usersFrom, nil, 'U', w.introduceUsers)
	}
	w.after(between(w.access, time.Second, 4*time.Second), nil, 'U', w.changePermissions)
	w.after(between(w.access, time.Second, 4*time.Second), nil, 'U', w.stealStores)
	if w.settings.longAbsence {
		w.after(between(w.access, 5*time.Second, 10*time.Second), nil, 'U', w.cutLinkForLong)
	}
}

// cutLinkForLong cuts the link for longer than the permissions of an absent instance count.
func (w *world) cutLinkForLong() {
	list := bothDirections(w.instances[0].name, w.instances[1].name)
	w.logf("FAULT link cut for long")
	for _, x := range list {
		w.cut(x)
	}
	w.after(permissionsGrace+between(w.access, 5*time.Second, 15*time.Second), nil, 'e', func() {
		for _, x := range list {
			w.heal(x)
		}
	})
}

// introduceUsers starts each instance again with users, one after the other.
func (w *world) introduceUsers() {
	w.eachLater(func(i *instance) {
		w.logf("FAULT %s gets users", i.name)
		i.usersFile = w.users.newest
		if i.alive {
			i.crash(memfs.KeepAll, false)
		}
		w.after(between(w.access, 0, 500*time.Millisecond), nil, 'U', func() {
			if !i.alive {
				i.start()
			}
		})
	})
}

// eachLater does something to each instance, in any order: to the first now, to the others later.
func (w *world) eachLater(f func(i *instance)) {
	most := []time.Duration{50 * time.Millisecond, 3 * time.Second, 3 * time.Second, 15 * time.Second}[w.access.IntN(4)]
	at := time.Duration(0)
	for _, n := range w.access.Perm(len(w.instances)) {
		w.after(at, nil, 'U', func() { f(w.instances[n]) })
		at += between(w.access, 0, most)
	}
	w.users.reachedAt = max(w.users.reachedAt, w.now+at)
}

// changePermissions changes the permissions, first on one instance, then on the others, again and
// again. When the faults end, everybody exists and may read; publishers may still be denied topics.
func (w *world) changePermissions() {
	last := w.now >= w.settings.length
	p := &permissions{version: w.users.newest.version + 1, denied: make(map[denial]bool), byUser: make(map[string]*servercore.Permissions)}
	for _, user := range []string{userRed, userBlue} {
		w.maybeDeny(p, denial{user, false, topicA}, 7)
		w.maybeDeny(p, denial{user, false, topicB}, 4)
	}
	for _, user := range []string{userReader, userOdd} {
		for _, topic := range []string{topicA, topicB} {
			if !last {
				w.maybeDeny(p, denial{user, true, topic}, 5)
			}
		}
	}
	if !last && w.access.IntN(6) == 0 {
		p.removed = []string{userRed, userBlue, userReader, userOdd}[w.access.IntN(4)]
		w.counts.Access.Removed++
	}
	w.users.newest = p
	w.counts.Access.Changes++
	w.logf("FAULT permissions %d: denied %v, removed %q", p.version, p.denied, p.removed)
	w.eachLater(func(i *instance) { i.setPermissions(p) })
	if !last {
		w.after(max(w.users.reachedAt-w.now, 0)+between(w.access, 500*time.Millisecond, 6*time.Second), nil, 'U', w.changePermissions)
	}
}

func (w *world) maybeDeny(p *permissions, d denial, oneOf int) {
	if w.access.IntN(oneOf) == 0 {
		p.denied[d] = true
	}
}

// setPermissions changes the file of users of an instance, which takes it in now, when it is
// resumed, or at its start.
func (i *instance) setPermissions(p *permissions) {
	if i.usersFile == nil || i.usersFile.version >= p.version {
		return
	}
	i.usersFile = p
	i.w.after(0, &i.process, 'U', i.loadPermissions)
}

// loadPermissions applies the file of users to all sessions.
func (i *instance) loadPermissions() {
	if i.access == i.usersFile {
		return
	}
	i.w.logf("%s has permissions %d", i.name, i.usersFile.version)
	i.access, i.accessSince = i.usersFile, i.w.now
	i.w.oracle.permissionsChanged()
	for _, s := range i.sessions {
		if user, ok := s.core.User(); ok {
			s.core.SetPermissions(i.access.of(user))
		}
	}
	i.wake()
}

// authenticate sets the user of a session from its logon, and the permissions. It returns false if
// the logon was refused.
func (s *session) authenticate(m *wire.Message) bool {
	if s.i.access == nil || m.Command != wire.Logon {
		return true
	}
	if _, known := s.core.User(); known {
		return true
	}
	user := string(m.UserID)
	p := s.i.access.of(user)
	if p == nil {
		s.i.w.counts.Access.NoUser++
		s.core.RefuseUser(string(m.CommandID))
		return false
	}
	s.core.SetUser(user)
	s.core.SetPermissions(p)
	return true
}

// A watchedLedger shows the oracle the records of sessions.
type watchedLedger struct {
	ledger.Ledger
	i *instance
}

// Appender implements [ledger.Ledger].
func (l watchedLedger) Appender() ledger.Appender {
	return &watchedAppender{l.Ledger.Appender(), l.i}
}

type watchedAppender struct {
	ledger.Appender
	i *instance
}

// Append implements [ledger.Appender].
func (a *watchedAppender) Append(r *ledger.Record) (ledger.Verdict, error) {
	v, err := a.Appender.Append(r)
	if err == nil && v == ledger.Accepted {
		a.i.w.oracle.recorded(a.i, r)
	}
	return v, err
}

// AppendRun implements [ledger.Appender].
func (a *watchedAppender) AppendRun(check bookmark.Check, user []byte, run []record.OrdinaryMessage) (ledger.RunResult, error) {
	result, err := a.Appender.AppendRun(check, user, run)
	for _, m := range run[:result.Records] {
		a.i.w.oracle.recorded(a.i, &ledger.Record{Kind: ledger.Message, Publisher: m.Publisher(), Sequence: m.Sequence(), Topic: m.Topic(), User: user})
	}
	return result, err
}

// subscriptionEnded has the application start again a little later, if its user may not have the
// topic.
func (s *subscriber) subscriptionEnded(cause error) {
	w := s.w
	if !errors.Is(cause, clientcore.ErrNotEntitled) || !w.oracle.mayBeDenied(s) {
		w.oracle.violate("%s: its subscription ends: %v", s.name, cause)
		return
	}
	w.counts.Access.Ended++
	w.logf("%s: its subscription ends: %v", s.name, cause)
	w.after(0, &s.process, 'u', func() {
		s.kill(false)
		w.after(between(w.access, 100*time.Millisecond, time.Second), nil, 'u', func() {
			if !s.alive {
				s.startProcess()
			}
		})
	})
}

// stealStores has another user log on with the store of a publisher, now and then.
func (w *world) stealStores() {
	if w.now >= w.settings.length {
		return
	}
	w.after(between(w.access, time.Second, 4*time.Second), nil, 'U', w.stealStores)
	i := w.instances[w.access.IntN(2)]
	if !i.alive || i.stopped || !i.serving || i.access == nil || len(w.oracle.order) == 0 {
		return
	}
	l := w.oracle.order[w.access.IntN(len(w.oracle.order))]
	w.forgers++
	f := newForger(w, i)
	f.logon.Store, f.thief = l.id, true
	f.victim = l
	w.logf("FAULT another user at %s has the store of %s", i.name, l.id)
	f.connect()
}

// onThiefAnswer hears the answer to the logon of a thief. It must be refused where the owner is known.
// Elsewhere the thief sends nothing: it would become the owner.
func (f *forger) onThiefAnswer(m *wire.Message) {
	if string(m.Reason) == wire.ReasonOtherOwner {
		f.w.counts.Access.OtherOwner++
	}
	if owner := f.i.state(f.victim).Owner; string(m.Status) == wire.StatusSuccess && owner != "" && f.i.access != nil {
		f.w.oracle.violate("%s lets another user log on with %s, which belongs to %q", f.i.name, f.victim.id, owner)
	}
	f.disconnect()
}
