package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// A SubscribeOption configures one subscription. ID, FullyDurable, AcceptGaps, OnGap,
// AllowUnreplicated, Retry and NotFound need From. MostRecent and MostRecentOr also need ID and
// Config.Name. Subscribe refuses options that miss another one or contradict each other; it ignores
// none.
type SubscribeOption func(*subscribeOptions)

type subscribeOptions struct {
	request   clientcore.Request
	from      bool   // From was given
	start     Start  // nil: no bookmark subscription
	needsFrom string // name of an option that needs From
	onGap     func(*GapError)
	retry     *RetryPolicy
	policy    *SlowPolicy
	notFound  NotFoundPolicy
}

// A Start is the point where a bookmark subscription begins: Epoch, Now, MostRecent, MostRecentOr,
// At or After.
type Start interface {
	// text returns the content of the bookmark field, or an error if the start is invalid.
	text() (string, error)
}

// A StartPoint is a Start without parameters.
type StartPoint int

const (
	// Epoch is the start of the server's log. A place stored under the subscription's ID is
	// deleted.
	Epoch StartPoint = iota
	// Now is the end of the server's durable log at the moment of the subscribe. After a failover
	// the subscription resumes from there, not from a later end. A place stored under the
	// subscription's ID is deleted.
	Now
	// MostRecent continues after the messages that were discarded under the subscription's ID. If
	// no place is stored under it, MostRecent means Epoch.
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

// MostRecentOr is [MostRecent], but begins at start if no place is stored under the subscription's
// ID. MostRecentOr(Now) is for a subscriber that begins at [Now] the first time and resumes
// afterwards.
func MostRecentOr(start Start) Start { return mostRecentOr{start} }

func (m mostRecentOr) text() (string, error) {
	if m.otherwise == nil {
		return "", errors.New("MostRecentOr(nil): give it Epoch, Now, At or After")
	}
	return m.otherwise.text()
}

// resumes reports whether a subscription continues from the place that is stored under its id.
func resumes(start Start) bool {
	_, or := start.(mostRecentOr)
	return or || start == MostRecent
}

type atTime struct{ t time.Time }

// At begins with the first message that a server logged at or after t. t is truncated to
// microseconds. The place that is kept under the subscription's ID is deleted.
func At(t time.Time) Start { return atTime{t} }

func (a atTime) text() (string, error) { return string(bookmark.AppendTime(nil, a.t)), nil }

type afterBookmarks []Bookmark

// After begins after the given bookmarks. Give one for each publisher: all messages of a publisher
// without a bookmark count as new. A bookmark is the value of Message.Bookmark, or the result of
// bookmarkstore.ParseBookmark. A place stored under the subscription's ID is deleted. A server
// without our extensions begins after the bookmark that is earliest in its log.
func After(bookmarks ...Bookmark) Start { return afterBookmarks(bookmarks) }

func (a afterBookmarks) text() (string, error) {
	v := bookmark.Vector{}
	for _, b := range a {
		if b.Sequence == 0 {
			return "", fmt.Errorf("start after bookmark %q: sequences begin at 1", b)
		}
		if s, named := v[b.Publisher]; !named || b.Sequence < s {
			v[b.Publisher] = b.Sequence // the earlier of two, so that nothing is missed
		}
	}
	if len(v) == 0 {
		return "", errors.New("After(): give it at least one bookmark")
	}
	return v.String(), nil
}

// From makes a bookmark subscription. It begins at start, and from there it misses and repeats
// nothing, through any number of reconnects (G6). Without From a subscription receives the messages
// that are published while it is connected. Subscribe refuses a nil start.
func From(start Start) SubscribeOption {
	return func(o *subscribeOptions) { o.from, o.start = true, start }
}

// ID names a bookmark subscription, so that a restarted process can resume it with
// From(MostRecent). An id is any text of up to 256 bytes and is unique within a bookmark store
// (bookmarkstore.ErrInUse).
func ID(id string) SubscribeOption { return func(o *subscribeOptions) { o.request.ID = id } }

// Filter restricts the subscription to messages that match a content filter in the server's filter
// language. holdfastd has no filters and refuses it with a *CommandError.
func Filter(filter string) SubscribeOption {
	return func(o *subscribeOptions) { o.request.Filter = filter }
}

// FullyDurable delays each message of a bookmark subscription until it is safe on both servers
// (R13).
func FullyDurable() SubscribeOption {
	return func(o *subscribeOptions) { o.request.FullyDurable, o.needsFrom = true, "FullyDurable" }
}

// AcceptGaps lets a bookmark subscription continue after a gap: messages that no server has any
// more, as far as servers could be asked (GapError). The hook Gap and Stats still report them.
func AcceptGaps() SubscribeOption {
	return func(o *subscribeOptions) { o.request.AcceptGaps, o.needsFrom = true, "AcceptGaps" }
}

// OnGap is AcceptGaps with a function that receives each gap in its place between the messages. The
// function runs on the goroutine of the loop.
func OnGap(f func(*GapError)) SubscribeOption {
	return func(o *subscribeOptions) { o.request.AcceptGaps, o.onGap, o.needsFrom = true, f, "OnGap" }
}

// A NotFoundPolicy tells a server without our extensions where to begin a bookmark subscription if
// its log has none of the given bookmarks.
type NotFoundPolicy int

const (
	// NotFoundNow begins with new messages.
	NotFoundNow NotFoundPolicy = iota + 1
	// NotFoundEpoch begins at the start of the log. Messages that the application has received do
	// not come again.
	NotFoundEpoch
	// NotFoundFail ends the subscription with a [*GapError]. Do not use it where the messages of
	// the bookmarks may still arrive, for example after a failover to a server that lags.
	NotFoundFail
)

// text returns the value of the protocol's option.
func (p NotFoundPolicy) text() string {
	return [...]string{"", "now", "epoch", "fail"}[p]
}

// NotFound gives a server without our extensions a policy for bookmarks that it does not know. The
// default is the server's own policy. AMPS servers have this option from 5.3.5 on. An older server
// would refuse the subscription; the client does not send it the option, and logs that. A server
// with our extensions does not need the option.
func NotFound(p NotFoundPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.notFound = p }
}

// AllowUnreplicated lets a bookmark subscription move to a server where messages may be missing or
// late (R3): a server that does not receive the topic over a synchronous link, or one that receives
// nothing synchronously. Without it the subscription ends with ErrNotReplicated in the first case,
// and the client does not move in the second (ErrAsyncPath).
func AllowUnreplicated() SubscribeOption {
	return func(o *subscribeOptions) { o.request.AllowUnreplicated, o.needsFrom = true, "AllowUnreplicated" }
}

// A RetryPolicy says how Handle reacts when its function returns an error.
type RetryPolicy struct {
	// Delay is the wait before Handle calls the function again. All later messages of the
	// subscription wait too, which keeps their order.
	Delay time.Duration
	// MaxTries is the largest number of calls of the function for one message in this process.
	// After the last one GiveUp decides. 0 means no limit.
	MaxTries int
	// GiveUp receives a message and the last error after the last try, on the goroutine of Handle.
	// It returns nil if it has put the message aside; then the message is discarded and Handle goes
	// on. An error ends Handle, and the next Handle begins with the message again. By default
	// Handle ends with the last error.
	GiveUp func(m *Message, err error) error
}

// Retry lets Handle call its function again for a message of a bookmark subscription when the
// function returns an error. Without it the error ends Handle.
func Retry(p RetryPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.retry, o.needsFrom = &p, "Retry" }
}

// WithTime requests Message.Time from the server.
func WithTime() SubscribeOption { return func(o *subscribeOptions) { o.request.Timestamps = true } }

// A SlowPolicy says how a subscription without bookmark treats a full queue (R12). The zero value
// is SlowBlock(5 * time.Second).
type SlowPolicy struct {
	dropOldest, fail bool
	wait             time.Duration // of SlowBlock
}

// SlowBlock gives the application time to catch up: the queue may exceed its bound for the given
// time, up to eight times the bound. Then the subscription ends with ErrSlowConsumer. The reader of
// the connection does not wait meanwhile. A wait of 0 means 5s; for no wait use SlowFail. Subscribe
// refuses a negative wait.
func SlowBlock(wait time.Duration) SlowPolicy { return SlowPolicy{wait: wait} }

// SlowDropOldest drops the oldest messages in the queue and counts them in Stats.
func SlowDropOldest() SlowPolicy { return SlowPolicy{dropOldest: true} }

// SlowFail ends the subscription with ErrSlowConsumer at once.
func SlowFail() SlowPolicy { return SlowPolicy{fail: true} }

// WhenSlow sets the SlowPolicy of a subscription without From. Subscribe refuses it together with
// From: a bookmark subscription is paused when its queue is full, and loses nothing.
func WhenSlow(p SlowPolicy) SubscribeOption {
	return func(o *subscribeOptions) { o.policy = &p }
}

// blockFor is the default wait of SlowBlock. blockFactor is how many times its bound the queue may
// hold during that wait.
const (
	blockFor    = 5 * time.Second
	blockFactor = 8
)

// subscribeOptionsOf applies the options. It refuses options that contradict each other: an option
// is never ignored silently.
func subscribeOptionsOf(opts []SubscribeOption) (o subscribeOptions, err error) {
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case o.from && o.start == nil:
		return o, errors.New("From(nil): give it Epoch, Now, MostRecent, MostRecentOr, At or After")
	case o.start == nil && o.request.ID != "":
		return o, errors.New("ID is for bookmark subscriptions: add From")
	case o.start == nil && o.needsFrom != "":
		return o, fmt.Errorf("%s is for bookmark subscriptions: add From", o.needsFrom)
	case o.retry != nil && (o.retry.Delay < 0 || o.retry.MaxTries < 0):
		return o, fmt.Errorf("Retry with Delay %v and MaxTries %d: neither may be negative", o.retry.Delay, o.retry.MaxTries)
	case o.notFound < 0 || o.notFound > NotFoundFail:
		return o, fmt.Errorf("NotFound(%d): give it NotFoundNow, NotFoundEpoch or NotFoundFail", o.notFound)
	case o.start == nil && o.notFound != 0:
		return o, errors.New("NotFound is for bookmark subscriptions: add From")
	case o.request.AcceptGaps && o.notFound == NotFoundFail:
		return o, errors.New("NotFoundFail contradicts AcceptGaps and OnGap: it ends the subscription, and they let it continue")
	case o.start != nil && o.policy != nil:
		return o, errors.New("WhenSlow is for subscriptions without bookmark: remove it, or From")
	case o.policy != nil && o.policy.wait < 0:
		return o, fmt.Errorf("SlowBlock(%v): the wait must not be negative", o.policy.wait)
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
	o.request.SlowPolicy = clientcore.SlowPolicy{DropOldest: o.policy.dropOldest, Wait: o.policy.wait}
	return o, nil
}
