package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Permissions are what a user may do. A nil function allows everything. The functions must be safe
// for concurrent use.
type Permissions struct {
	ClientName func(name string) bool  // client names that the user may log on with
	Publish    func(topic []byte) bool // topics that the user may publish to
	Subscribe  func(topic []byte) bool // topics whose messages the user may get
	Limits     UserLimits
}

// UserLimits bound the cost of one user, over all sessions of the user together. 0 means no bound.
type UserLimits struct {
	Connections    int     // sessions at once
	Subscriptions  int     // of one session, instead of Limits.Subscriptions
	Publishers     int     // publishers that belong to the user
	PublisherRate  float64 // new publishers per second
	BytesPerSecond int64   // commands, header included
}

// access is the user of a session with the permissions. A session of an instance without users has
// the zero access, which allows everything.
type access struct {
	permissions   atomic.Pointer[Permissions] // nil: everything is allowed
	user          string                      // authenticated; guarded by the session's mu, like the rest
	authenticated bool                        // user is set
}

// SetUser sets the authenticated user of the session. The driver calls it before it executes the
// logon, and SetPermissions after it.
func (s *Session) SetUser(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access.user, s.access.authenticated = user, true
}

// User returns the authenticated user. ok is false if there is none.
func (s *Session) User() (user string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access.user, s.access.authenticated
}

// SetPermissions sets the permissions of the session's user, at the logon and whenever they have
// changed. Nil ends the session, because the user exists no more. A session whose client name is
// not allowed any more ends as well. Subscriptions to single topics that are not allowed any more
// end; others go on without the messages that are not allowed.
func (s *Session) SetPermissions(p *Permissions) {
	s.access.permissions.Store(p)
	s.mu.Lock()
	loggedOn, subs := s.loggedOn, s.notEntitledLocked()
	s.mu.Unlock()
	switch {
	case p == nil:
		s.endNotPermitted(wire.ReasonUserGone)
	case loggedOn && !s.mayUseName(s.client.claim.ClientName):
		s.endNotPermitted(wire.ReasonNotEntitled)
	default:
		for _, b := range subs {
			s.queueTask(func(time.Time) { s.endNotEntitled(b) })
		}
	}
}

// endNotPermitted ends a session whose user may not have it any more.
func (s *Session) endNotPermitted(reason string) {
	if s.State() < StateEnding {
		s.notifyEvent(EventPermissionsChange, nil, reason)
	}
	s.endWithAck(reason, "")
	s.stopAppends()
}

// notEntitledLocked returns the subscriptions to single topics that the user may not have.
func (s *Session) notEntitledLocked() (subs []*sub) {
	for _, b := range s.subs {
		if b.Pattern.IsLiteral() && !s.mayKnow([]byte(b.Pattern.String())) {
			subs = append(subs, b)
		}
	}
	return subs
}

// endNotEntitled ends a subscription whose topic the user may not have any more.
func (s *Session) endNotEntitled(b *sub) {
	s.mu.Lock()
	current := s.subs[b.ID] == b
	s.mu.Unlock()
	if !current {
		return
	}
	s.notifyEvent(EventSubscribeRefused, []byte(b.Pattern.String()), wire.ReasonNotEntitled)
	s.unregisterSub(b)
	s.write(&wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, SubID: b.ID, Reason: wire.ReasonNotEntitled})
	s.removeSub(b)
}

// mayUseName reports whether the user may log on with a client name. A name that the server makes
// up is always allowed.
func (s *Session) mayUseName(name string) bool {
	p := s.access.permissions.Load()
	return p == nil || p.ClientName == nil || s.client.nameMadeUp || p.ClientName(name) || failpoint.On(failpoint.AnyClientName)
}

// allows calls a permission, which allows everything if it is nil.
func allows(permission func(topic []byte) bool, topic []byte) bool {
	return permission == nil || permission(topic)
}

// maxAnswers bounds the topics that a topicAnswers remembers.
const maxAnswers = 512

// A topicAnswers remembers the answers of a permission by topic, because matching patterns costs
// more than a lookup. It is not safe for concurrent use.
type topicAnswers struct {
	of    *Permissions
	known map[string]bool
}

// allows returns the answer of permission, which is one of p.
func (a *topicAnswers) allows(p *Permissions, permission func([]byte) bool, topic []byte) bool {
	if a.of != p && (a.of == nil || !failpoint.On(failpoint.PermissionsRemembered)) || len(a.known) >= maxAnswers {
		a.of, a.known = p, make(map[string]bool)
	}
	answer, known := a.known[string(topic)]
	if !known {
		answer = permission(topic)
		a.known[string(topic)] = answer
	}
	return answer
}

// mayPublish reports whether the user may publish to a topic. It belongs to the reader's half.
func (s *Session) mayPublish(topic []byte) bool {
	p := s.access.permissions.Load()
	if p == nil || p.Publish == nil || failpoint.On(failpoint.AnyPublish) {
		return true
	}
	return s.reader.publishable.allows(p, p.Publish, topic)
}

// maxSubscriptions returns the largest number of subscriptions of the session.
func (s *Session) maxSubscriptions() int {
	if p := s.access.permissions.Load(); p != nil && p.Limits.Subscriptions > 0 {
		return p.Limits.Subscriptions
	}
	return s.limits.Subscriptions
}

// mayRead reports whether the user may get the messages of a topic. It belongs to the writer's
// half.
func (s *Session) mayRead(topic []byte) bool {
	p := s.access.permissions.Load()
	if p == nil || p.Subscribe == nil || failpoint.On(failpoint.AnySubscribe) {
		return true
	}
	return s.writer.readable.allows(p, p.Subscribe, topic)
}

// mayKnow reports whether the user may get the messages of a topic. It may be called by either
// half, at a higher cost than mayRead.
func (s *Session) mayKnow(topic []byte) bool {
	p := s.access.permissions.Load()
	return p == nil || allows(p.Subscribe, topic)
}

// endPermissionsDiffer ends the session of a client whose publish this instance would refuse while
// a peer has other permissions, or has just gone away. A tombstone could reject a message that the peer would take, so the
// client keeps the message and sends it again later.
func (s *Session) endPermissionsDiffer(topic []byte) error {
	s.inst.notifyRefused(wire.ReasonPermissionsDiffer)
	s.notifyEvent(EventPublishRefused, topic, wire.ReasonPermissionsDiffer)
	s.log.Warn("publish not entitled, and a peer has other permissions or has just gone away: the session ends, and the client tries again", "topic", string(topic))
	s.endWithAck(wire.ReasonPermissionsDiffer, "")
	return ErrEnding
}

// mayReject reports whether a message that its user may not publish may be rejected for good.
func (i *Instance) mayReject(publisher, sequence uint64) bool {
	return i.MayReject == nil || i.MayReject(publisher, sequence) || failpoint.On(failpoint.DifferentPermissions)
}
