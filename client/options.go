package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// A SubscribeOption says something about one subscription.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct {
	request   clientcore.Request
	from      bool   // From was given
	start     Start  // nil: no bookmark subscription
	needsFrom string // an option for bookmark subscriptions that was given
	onGap     func(*GapError)
	retry     *RetryPolicy
	policy    *SlowPolicy
	notFound  NotFoundPolicy
}

// A Start is where a bookmark subscription begins: Epoch, Now, MostRecent,
// MostRecentOr, At or After.
type Start interface {
	// text returns what stands in the bookmark field, and what is wrong with it.
	text() (string, error)
}

// A StartPoint is a Start that needs no more words.
type StartPoint int

const (
	// Epoch is the start of the server's log. What was kept under the
	// subscription's id is forgotten.
	Epoch StartPoint = iota
	// Now is after what the server has at the moment. What was kept under
	// the subscription's id is forgotten.
	Now
	// MostRecent is after what was discarded under the subscription's ID, and
	// Epoch if nothing is kept under it.
	MostRecent
)

func (p StartPoint) text() (string, error) {
	switch p {
	case Epoch, MostRecent:
		return bookmark.EpochText, nil
	case Now:
		return bookmark.NowText, nil
	}
	return "", fmt.Errorf("start point %d is none of Epoch, Now, MostRecent", int(p))
}

type mostRecentOr struct{ otherwise Start }

// MostRecentOr is [MostRecent], but begins at start if nothing is kept under the
// subscription's ID: for who begins at [Now] the first time, and goes on from then on.
func MostRecentOr(start Start) Start { return mostRecentOr{start} }

func (m mostRecentOr) text() (string, error) {
	if m.otherwise == nil {
		return "", errors.New("MostRecentOr(nil): give it Epoch, Now, At or After")
	}
	return m.otherwise.text()
}

// resumes reports whether a subscription goes on with what is kept under its id.
func resumes(start Start) bool {
	_, or := start.(mostRecentOr)
	return or || start == MostRecent
}

type atTime struct{ t time.Time }

// At begins with the first message that a server logged after t. What was
// kept under the subscription's id is forgotten.
func At(t time.Time) Start { return atTime{t} }

func (a atTime) text() (string, error) { return string(bookmark.AppendTime(nil, a.t)), nil }

type afterBookmarks []Bookmark

// After begins behind the bookmarks, of which there should be one for each
// publisher: all messages of publishers not named count as new. A bookmark is
// a Message.Bookmark, or what bookmarkstore.ParseBookmark makes of its text.
// What was kept under the subscription's id is forgotten. A server without our
// extensions begins behind the one that is earliest in its log.
func After(bookmarks ...Bookmark) Start { return afterBookmarks(bookmarks) }

func (a afterBookmarks) text() (string, error) {
	v := bookmark.Vector{}
	for _, b := range a {
		if b.Sequence == 0 {
			return "", fmt.Errorf("start after bookmark %q: sequences begin at 1", b)
		}
		if s, named := v[b.Publisher]; !named || b.Sequence < s {
			v[b.Publisher] = b.Sequence // of two the earlier, so that nothing is missed
		}
	}
	if len(v) == 0 {
		return "", errors.New("start after no bookmark")
	}
	return v.String(), nil
}

// From makes a bookmark subscription, which begins at start and misses and
// repeats nothing from there on, through any number of reconnects (G6).
// Without From a subscription gets what is published while it is connected.
// A start of nil is refused.
func From(start Start) SubscribeOption {
	return func(o *subscribeOptions) { o.from, o.start = true, start }
}

// ID names a bookmark subscription, so that a restarted process can take it
// up again with From(MostRecent). Any text of up to 256 bytes; unique within
// a bookmark store (bookmarkstore.ErrInUse).
func ID(id string) SubscribeOption { return func(o *subscribeOptions) { o.request.ID = id } }

// Filter has the server send what matches a content filter only, in the
// server's filter language. holdfastd offers no filters: there it is refused
// with a *CommandError.
func Filter(filter string) SubscribeOption {
	return func(o *subscribeOptions) { o.request.Filter = filter }
}

// FullyDurable has a bookmark subscription receive a message only when it is
// safe on both servers (R13).
func FullyDurable() SubscribeOption {
	return func(o *subscribeOptions) { o.request.Durable, o.needsFrom = true, "FullyDurable" }
}

// AcceptGaps has a bookmark subscription go on behind messages that no server
// that could be asked has any more (GapError). The hook Gap and Stats still say so.
func AcceptGaps() SubscribeOption {
	return func(o *subscribeOptions) { o.request.Gaps, o.needsFrom = true, "AcceptGaps" }
}

// OnGap is AcceptGaps with a function that is told each gap, in its place
// between the messages, on the goroutine of the loop.
func OnGap(f func(*GapError)) SubscribeOption {
	return func(o *subscribeOptions) { o.request.Gaps, o.onGap, o.needsFrom = true, f, "OnGap" }
}

// A NotFoundPolicy says where a server without our extensions has a bookmark
// subscription begin if its log has none of the bookmarks that are named to it.
type NotFoundPolicy int

const (
	// NotFoundNow begins with what is new.
	NotFoundNow NotFoundPolicy = iota + 1
	// NotFoundEpoch begins at the start of the log. What the application has had
	// does not come again.
	NotFoundEpoch
	// NotFoundFail ends the subscription with a [*GapError]. That is wrong where
	// the messages that were named may still come, as after a failover to a server
	// that lags.
	NotFoundFail
)

// text returns the value of the protocol's option.
func (p NotFoundPolicy) text() string {
	return [...]string{"", "now", "epoch", "fail"}[p]
}

// NotFound gives a server without our extensions a policy for bookmarks that it
// does not know. Without it the server's own counts. AMPS servers have the option
// from 5.3.5 on; an older one, which would refuse the subscription, is not given
// it, which is logged. A server with our extensions needs none.
func NotFound(p NotFoundPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.notFound = p }
}

// AllowUnreplicated lets a bookmark subscription move to another server where
// messages may be missing, or come late (R3): to one that does not have the
// topic by a link that acks wait for, and to one that nothing is replicated to
// synchronously. Without it the subscription ends with ErrNotReplicated in the
// first case, and in the second the client does not move (ErrAsyncPath).
func AllowUnreplicated() SubscribeOption {
	return func(o *subscribeOptions) { o.request.Unreplicated, o.needsFrom = true, "AllowUnreplicated" }
}

// A RetryPolicy is what Handle does when its function returns an error.
type RetryPolicy struct {
	// Delay is how long Handle waits before it calls the function again. All
	// later messages of the subscription wait, too, or their order would break.
	Delay time.Duration
	// Tries is how often the function is called for one message in all, by
	// this process. Then GiveUp decides. 0: until the function returns nil.
	Tries int
	// GiveUp is told a message and the last error after the last try, on the
	// goroutine of Handle. If it returns nil, because it has put the message
	// aside, the message is discarded and Handle goes on. An error ends
	// Handle, and the next one begins with the message again. Default: the
	// last error.
	GiveUp func(m *Message, err error) error
}

// Retry has Handle call its function again for a message of a bookmark
// subscription when the function returns an error. Without it the error ends
// Handle.
func Retry(p RetryPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.retry, o.needsFrom = &p, "Retry" }
}

// WithTime asks for Message.Time.
func WithTime() SubscribeOption { return func(o *subscribeOptions) { o.request.Times = true } }

// A SlowPolicy is what happens to a subscription without bookmark whose queue
// is full (R12). The zero value is Block with 5s.
type SlowPolicy struct {
	dropOldest, fail bool
	wait             time.Duration // of neither
}

// Block gives the application time: the queue may be beyond its bound for so
// long, and by eight times at most. Then the subscription ends with
// ErrSlowConsumer. The reader of the connection does not wait meanwhile.
func Block(wait time.Duration) SlowPolicy { return SlowPolicy{wait: wait} }

// DropOldest drops the oldest messages in the queue and counts them in Stats.
func DropOldest() SlowPolicy { return SlowPolicy{dropOldest: true} }

// Fail ends the subscription with ErrSlowConsumer at once.
func Fail() SlowPolicy { return SlowPolicy{fail: true} }

// Policy says what happens when a subscription without bookmark is read too
// slowly. One with a bookmark is paused instead, and loses nothing.
func Policy(p SlowPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.policy = &p }
}

// blockFor is how long Block waits unless told otherwise; blockFactor is how
// many times the queue's bound it may hold meanwhile.
const (
	blockFor    = 5 * time.Second
	blockFactor = 8
)

// subscribeOptionsOf applies the options and refuses those that do not go
// together: an option is never silently ignored.
func subscribeOptionsOf(opts []SubscribeOption) (o subscribeOptions, err error) {
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case o.from && o.start == nil:
		return o, errors.New("From(nil): give it Epoch, Now, MostRecent, MostRecentOr, At or After")
	case o.start == nil && o.request.ID != "":
		return o, errors.New("ID is for bookmark subscriptions, there is no From")
	case o.start == nil && o.needsFrom != "":
		return o, fmt.Errorf("%s is for bookmark subscriptions, there is no From", o.needsFrom)
	case o.retry != nil && (o.retry.Delay < 0 || o.retry.Tries < 0):
		return o, fmt.Errorf("Retry: a delay of %v and %d tries: neither may be negative", o.retry.Delay, o.retry.Tries)
	case o.notFound < 0 || o.notFound > NotFoundFail:
		return o, fmt.Errorf("NotFound(%d): give it NotFoundNow, NotFoundEpoch or NotFoundFail", o.notFound)
	case o.start == nil && o.notFound != 0:
		return o, errors.New("NotFound is for bookmark subscriptions, there is no From")
	case o.request.Gaps && o.notFound == NotFoundFail:
		return o, errors.New("NotFoundFail ends a subscription that AcceptGaps or OnGap would have go on")
	case o.start != nil && o.policy != nil:
		return o, errors.New("Policy is for subscriptions without bookmark, there is a From")
	case resumes(o.start) && o.request.ID == "":
		return o, errors.New("MostRecent and MostRecentOr need an ID")
	}
	if o.policy == nil {
		o.policy = &SlowPolicy{}
	}
	if !o.policy.dropOldest && !o.policy.fail && o.policy.wait == 0 {
		o.policy.wait = blockFor
	}
	o.request.Resumes, o.request.NotFound = resumes(o.start), o.notFound.text()
	o.request.Patience = clientcore.Patience{DropOldest: o.policy.dropOldest, Wait: o.policy.wait}
	return o, nil
}
