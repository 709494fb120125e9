package servercore

import (
	"cmp"
	"errors"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Limits bound what one client can cost. A field that is 0 means the default.
type Limits struct {
	Subscriptions int // of one session; default 1000
	SessionMemory int // bytes that one session may hold; default twice the longest message and 8 MiB
	Memory        int // bytes that all sessions may hold; default 1 GiB
	Topic         int // bytes of a topic; default 256
	Strangers     int // connections that have not logged on; default 512
	PerAddress    int // connections from one address; default 4096
}

// withDefaults returns l with its zero fields filled.
func (l Limits) withDefaults(maxMessage int) Limits {
	return Limits{
		Subscriptions: cmp.Or(l.Subscriptions, 1000),
		SessionMemory: cmp.Or(l.SessionMemory, 2*maxMessage+8<<20),
		Memory:        cmp.Or(l.Memory, 1<<30),
		Topic:         cmp.Or(l.Topic, 256),
		Strangers:     cmp.Or(l.Strangers, 512),
		PerAddress:    cmp.Or(l.PerAddress, 4096),
	}
}

const (
	// strangerMemory is how much a connection may hold that has not logged on.
	strangerMemory = 128 << 10
	// accountChunk is how much an account takes of the budget at once, and keeps
	// when it needs less again.
	accountChunk = 16 << 10
	// fairShare is what a session may hold although the budget is used up: those that
	// hold much make room, not those that hold little.
	fairShare = 256 << 10

	maxID = 256 // bytes of the id of a command or of a subscription

	maxSteps   = 32 << 10 // of the patterns of one session
	aloneBytes = 4 << 10  // of the topics that one subscription remembers
)

// Estimates of the memory that things take beside their text, in bytes.
const (
	subBytes       = 2<<10 + aloneBytes // a subscription
	stepBytes      = 128                // a step of the outbox
	pendingBytes   = 64                 // an ack that waits
	publisherBytes = 96                 // an entry of a place
	vectorBytes    = 192                // an entry of a vector while a subscribe is executed
	followerBytes  = 256 << 10          // a follower that reads from the disk
	liveBytes      = 32 << 10           // one at the end of the log
)

// errMemory ends a session that holds more than it may.
var errMemory = errors.New("the session holds more memory than it may: what waits for the client, its subscriptions, or its unfinished commands")

// A budget counts what all sessions of an instance hold. Safe for concurrent use.
type budget struct{ used atomic.Int64 }

// An account is what one session holds, in bytes: input, output, ids, places, acks
// that wait. It isn't safe for concurrent use.
type account struct {
	budget   *budget
	total    int // that the budget allows
	most     int // that the session may hold
	used     int
	reserved int // of the budget
}

// take notes that the session holds so much more, or less. False: that is too much.
func (a *account) take(bytes int) bool {
	a.used += bytes
	if mut.On(mut.DAnyMemory) {
		return true
	}
	if bytes > 0 && a.used > a.most {
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

// charge sets what something holds of what the session holds, and notes that in held.
// False: that is too much.
func (a *account) charge(held *int, bytes int) bool {
	more := bytes - *held
	*held = bytes
	return a.take(more)
}

// reserve takes so much more of the budget, or gives it back. False: it is used up.
func (a *account) reserve(bytes int) bool {
	a.reserved += bytes
	return a.budget.used.Add(int64(bytes)) <= int64(a.total) || mut.On(mut.DAnyTotal)
}

// close gives back all that the account has of the budget.
func (a *account) close() {
	if mut.On(mut.DMemoryKept) {
		return
	}
	a.reserve(-a.reserved)
	a.used, a.most = 0, 0
}

// Holds notes that the driver holds so much more input, or less. False: it may not.
func (s *Session) Holds(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.take(bytes)
}

// admitted raises the account of a session that has logged on. Beside its limit it may
// hold a place that names all publishers of the instance.
func (s *Session) admitted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.most = s.limits.SessionMemory + s.placeBytes()
}

// placeBytes is what a place takes that names all publishers of the instance, while
// it is read and afterwards.
func (s *Session) placeBytes() int {
	if s.inst.Publishers == nil {
		return 0
	}
	return (vectorBytes + publisherBytes) * s.inst.Publishers()
}

// vectorMost returns how many publishers a vector may name that the session sends now.
func (s *Session) vectorMost(most int) int {
	s.admitted() // the instance may know more publishers by now
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(most, max(s.account.most-s.account.used, vectorBytes)/vectorBytes)
}

// weight is what a subscription takes.
func (b *sub) weight() int {
	return subBytes + len(b.ID) + len(b.id) + len(b.Pattern.String()) + publisherBytes*b.Named()
}

// weigh brings the account of the session up to date with a subscription, whose
// place may have grown. It ends a session that holds too much.
func (s *Session) weigh(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.account.charge(&b.charged, b.weight()) {
		s.becomeLocked(StateDead, errMemory.Error())
	}
}

// release gives back what a subscription takes.
func (s *Session) release(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.charge(&b.charged, 0)
}

// addPart takes in a part of a subscribe's vector. What is wrong with it is said in
// answer to the subscribe.
func (s *Session) addPart(m *wire.Message) error {
	s.reader.vector.Add(m, s.vectorMost(wire.MaxVector))
	if !s.holdsVector(s.reader.vector.Size()) {
		return errMemory
	}
	return nil
}

// holdsVector sets how long the vector is that the session keeps or reads.
func (s *Session) holdsVector(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.charge(&s.reader.vectorBytes, bytes)
}
