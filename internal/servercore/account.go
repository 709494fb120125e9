package servercore

import (
	"cmp"
	"errors"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Limits bound the cost of one client. A zero field means its default.
type Limits struct {
	Subscriptions   int // per session; default 1000
	SessionMemory   int // bytes held by one session; default twice the longest message plus 8 MiB
	Memory          int // bytes held by all sessions together; default 1 GiB
	Topic           int // bytes of one topic; default 256
	Unauthenticated int // connections without a logon; default 512
	PerAddress      int // connections from one address; default 4096
}

// withDefaults returns l with its zero fields set to the defaults.
func (l Limits) withDefaults(maxMessage int) Limits {
	return Limits{
		Subscriptions:   cmp.Or(l.Subscriptions, 1000),
		SessionMemory:   cmp.Or(l.SessionMemory, 2*maxMessage+8<<20),
		Memory:          cmp.Or(l.Memory, 1<<30),
		Topic:           cmp.Or(l.Topic, 256),
		Unauthenticated: cmp.Or(l.Unauthenticated, 512),
		PerAddress:      cmp.Or(l.PerAddress, 4096),
	}
}

const (
	// unauthenticatedMemory is the memory bound of a connection that has not logged on.
	unauthenticatedMemory = 128 << 10
	// accountChunk is the unit in which an account reserves memory from the budget. An account that
	// shrinks keeps up to four chunks in reserve.
	accountChunk = 16 << 10
	// fairShare is the memory that a session may hold even when the budget is used up: large
	// sessions have to make room, small ones do not.
	fairShare = 256 << 10

	maxID = 256 // bytes of a command id or a subscription id

	maxSteps   = 32 << 10 // steps of all patterns of one session
	aloneBytes = 4 << 10  // bytes of remembered topics per subscription
)

// Estimates of the memory of an item besides its text, in bytes.
const (
	subBytes       = 2<<10 + aloneBytes // a subscription
	taskBytes      = 128                // a task in the outbox
	pendingBytes   = 64                 // a pending ack
	publisherBytes = 96                 // an entry of a subscription's place
	vectorBytes    = 192                // an entry of a vector while its subscribe is executed
	followerBytes  = 256 << 10          // a follower that reads from the disk
	liveBytes      = 32 << 10           // a follower at the end of the log
)

// errMemory ends a session that holds more memory than its limit.
var errMemory = errors.New("the session exceeds its memory limit: unread output, subscriptions and unfinished commands count")

// A budget counts the memory of all sessions of an instance. It is safe for concurrent use.
type budget struct{ used atomic.Int64 }

// An account counts the memory of one session in bytes: input, output, ids, places and pending
// acks. It is not safe for concurrent use.
type account struct {
	budget   *budget
	total    int // limit of the budget
	limit    int // limit of this session
	used     int
	reserved int // taken from the budget
}

// add adds bytes to the session's memory; a negative number gives memory back. It returns false if
// the session, or all sessions together, exceed their limit.
func (a *account) add(bytes int) bool {
	a.used += bytes
	if failpoint.On(failpoint.DAnyMemory) {
		return true
	}
	if bytes > 0 && a.used > a.limit {
		return false
	}
	switch {
	case a.used > a.reserved:
		return a.reserve((a.used-a.reserved+accountChunk-1)/accountChunk*accountChunk) || a.used <= fairShare
	case a.reserved-a.used > 4*accountChunk:
		a.reserve(-(a.reserved - a.used) / accountChunk * accountChunk)
	}
	return true
}

// charge sets the memory of one item to bytes and records it in charged. It returns false under the
// same conditions as add.
func (a *account) charge(charged *int, bytes int) bool {
	more := bytes - *charged
	*charged = bytes
	return a.add(more)
}

// reserve takes bytes from the budget; a negative number gives them back. It returns false if the
// budget is used up.
func (a *account) reserve(bytes int) bool {
	a.reserved += bytes
	return a.budget.used.Add(int64(bytes)) <= int64(a.total) || failpoint.On(failpoint.DAnyTotal)
}

// close returns the account's reserve to the budget.
func (a *account) close() {
	if failpoint.On(failpoint.DMemoryKept) {
		return
	}
	a.reserve(-a.reserved)
	a.used, a.limit = 0, 0
}

// ChargeInput adds bytes of input that the driver holds for the session to its memory; a negative
// number gives them back. It returns false if that exceeds the limit. The driver must then end the
// session.
func (s *Session) ChargeInput(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.add(bytes)
}

// raiseMemoryLimit raises the memory limit of a session that has logged on. Besides SessionMemory
// it may hold one place that names all publishers of the instance.
func (s *Session) raiseMemoryLimit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.limit = s.limits.SessionMemory + s.placeBytes()
}

// placeBytes returns the memory of a place that names all publishers of the instance, including the
// memory to parse it.
func (s *Session) placeBytes() int {
	if s.inst.Publishers == nil {
		return 0
	}
	return (vectorBytes + publisherBytes) * s.inst.Publishers()
}

// maxVector returns the maximum number of publishers that the vector of a subscribe may name. It is
// at most limit.
func (s *Session) maxVector(limit int) int {
	s.raiseMemoryLimit() // the instance may know more publishers by now
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(limit, max(s.account.limit-s.account.used, vectorBytes)/vectorBytes)
}

// weight returns the memory of a subscription in bytes.
func (b *sub) weight() int {
	return subBytes + len(b.ID) + len(b.id) + len(b.Pattern.String()) + publisherBytes*b.Entries()
}

// chargeSub charges the current memory of a subscription, whose place may have grown. It ends a
// session that exceeds its limit.
func (s *Session) chargeSub(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.account.charge(&b.charged, b.weight()) {
		s.becomeLocked(StateDead, errMemory.Error())
	}
}

// creditSub gives back the memory of a subscription.
func (s *Session) creditSub(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.charge(&b.charged, 0)
}

// addPart adds one part of a subscribe's vector. An error in the part is reported in the answer to
// the subscribe.
func (s *Session) addPart(m *wire.Message) error {
	s.reader.vector.Add(m, s.maxVector(wire.MaxVector))
	if !s.chargeVector(s.reader.vector.Size()) {
		return errMemory
	}
	return nil
}

// chargeVector charges the vector that the session is assembling or reading, of this size in bytes.
// It returns false if that exceeds the limit.
func (s *Session) chargeVector(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.charge(&s.reader.vectorBytes, bytes)
}
