package servercore

import (
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/pace"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// users count what the sessions of each user take together. They are safe for concurrent use.
type users struct {
	mu  sync.Mutex
	all map[string]*usage // guarded by mu, like the rest
}

// A usage is what one user takes. It is guarded by the mu of users.
type usage struct {
	sessions   int
	commands   pace.Limiter // of the work that commands cause
	publishers pace.Limiter // of new publishers
	owned      int          // publishers of the user, perhaps too many: forgotten ones are not taken off
	counted    bool         // owned was counted
}

// Bursts of a user: the commands and the new publishers of so much time may come at once.
const (
	commandBurst    = time.Second
	publishersBurst = 10 * time.Second
)

// maxIdleUsers bounds the users without a session that are remembered, so that a user cannot get
// another burst by logging on again.
const maxIdleUsers = 10_000

// join counts a session of a user. It returns false if the user has limit sessions already; 0 means
// no limit.
func (u *users) join(user string, limit int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.ofLocked(user)
	if limit > 0 && g.sessions >= limit && !failpoint.On(failpoint.AnyConnections) {
		return false
	}
	g.sessions++
	return true
}

// leave counts a session of a user no more.
func (u *users) leave(user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.all[user]
	if g.sessions--; g.sessions == 0 && len(u.all) > maxIdleUsers {
		delete(u.all, user)
	}
}

func (u *users) ofLocked(user string) *usage {
	if u.all == nil {
		u.all = make(map[string]*usage)
	}
	g := u.all[user]
	if g == nil {
		g = &usage{}
		u.all[user] = g
	}
	return g
}

// spend counts work of a user that may take so much time. It returns how long the user must wait
// before the next command.
func (u *users) spend(user string, work time.Duration, now time.Time) (wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ofLocked(user).commands.Spend(now, work, commandBurst)
}

// addPublisher counts a new publisher of a user. It returns false if the user may not have another
// one now. count returns the number of the user's publishers; it is called rarely.
func (u *users) addPublisher(user string, l UserLimits, now time.Time, count func(user string) int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	g := u.ofLocked(user)
	if l.PublisherRate > 0 && !g.publishers.Allow(now, time.Duration(float64(time.Second)/l.PublisherRate), publishersBurst) {
		return false
	}
	if l.Publishers > 0 && (!g.counted || g.owned >= l.Publishers) {
		g.owned, g.counted = count(user), true
		if g.owned >= l.Publishers {
			return false
		}
	}
	g.owned++
	return true
}

// refusalInterval is the time that a publish which is not entitled counts as, because its tombstone
// takes room in the journals of the group.
const refusalInterval = 10 * time.Millisecond

// A userPace is a session's part in the pace of its user.
type userPace struct {
	notEntitled int  // publishes not entitled since the last Pause
	paced       bool // Pause was called
}

// Pause counts a command of the session, of so many bytes, and returns how long the driver must
// wait before it executes the next one. After the logon it returns the wait that earlier sessions
// of the user have left. It belongs to the reader's half.
func (s *Session) Pause(bytes int, now time.Time) (wait time.Duration) {
	refused := s.reader.notEntitled
	s.reader.notEntitled = 0
	p := s.access.permissions.Load()
	if p == nil || failpoint.On(failpoint.AnyRate) {
		return 0
	}
	work := time.Duration(refused) * refusalInterval
	if rate := p.Limits.BytesPerSecond; rate > 0 {
		work += time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
	}
	if work == 0 && (s.reader.paced || failpoint.On(failpoint.AnyRateAnew)) {
		return 0
	}
	s.reader.paced = true
	if wait = s.inst.users.spend(string(s.client.user), work, now); wait > 0 {
		s.inst.Counts.Paused.Add(1)
	}
	return wait
}

// joinUser counts the session for its user. It returns false if the user has too many.
func (s *Session) joinUser() bool {
	p := s.access.permissions.Load()
	if p == nil {
		return true
	}
	s.reader.joined.Store(s.inst.users.join(string(s.client.user), p.Limits.Connections))
	return s.reader.joined.Load()
}

// leaveUser counts the session for its user no more. Only the first call has an effect.
func (s *Session) leaveUser() {
	if s.reader.joined.Swap(false) {
		s.inst.users.leave(string(s.client.user))
	}
}

// mayRecord reports whether the user may have records of a publisher: the publisher is known, or the
// user may have another one now.
func (s *Session) mayRecord(publisher uint64) bool {
	p := s.access.permissions.Load()
	if p == nil || s.reader.recorded == publisher || failpoint.On(failpoint.AnyPublishers) {
		return true
	}
	_, known := s.inst.Ledger.Have(publisher)
	if !known && !s.inst.users.addPublisher(string(s.client.user), p.Limits, s.inst.now(), s.inst.Ledger.Owned) {
		return false
	}
	s.reader.recorded = publisher
	return true
}

// isOtherUser reports whether an owner is another user than that of the session.
func (s *Session) isOtherUser(owner string) bool {
	return len(s.client.user) > 0 && owner != "" && owner != string(s.client.user)
}

// ownedByOther reports whether this instance knows that the session's publisher belongs to another
// user.
func (s *Session) ownedByOther() bool {
	return s.client.canSequence && s.isOtherUser(s.inst.Ledger.Owner(s.client.claim.Publisher)) && !failpoint.On(failpoint.R10AnyOwner)
}

// endOtherOwner ends a session whose publisher belongs to another user. id is the id of the command
// that this answers, empty if there is none.
func (s *Session) endOtherOwner(id string) error {
	s.inst.notifyRefused(wire.ReasonOtherOwner)
	s.log.Warn("session ends: its publisher belongs to another user", "publisher", s.client.claim.Publisher)
	s.inst.Registry.freeNames(s)
	s.endWithAck(wire.ReasonOtherOwner, id)
	return &RefusedError{wire.ReasonOtherOwner}
}

// endManyPublishers ends a session whose user may not have another publisher now. The client keeps
// its messages and tries again.
func (s *Session) endManyPublishers() error {
	s.inst.notifyRefused(wire.ReasonTooManyPublishers)
	s.notifyEvent(EventLimit, nil, wire.ReasonTooManyPublishers)
	s.endWithAck(wire.ReasonTooManyPublishers, "")
	return ErrEnding
}
