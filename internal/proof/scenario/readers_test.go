package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A reader is an application's loop over a subscription. It subscribes anew
// when its process is started again.
type reader struct {
	app       *app
	name      string
	topic     string
	options   []client.SubscribeOption
	discards  int           // so many messages, then none; -1: all
	answers   string        // topic to publish and flush an answer to each message to; empty: none
	handling  time.Duration // of a message
	fails     int           // it fails for the message of this number, three times, and is called again; 0: for none
	gate      chan struct{} // closed: messages are taken
	gateTimes sync.Once

	mu    sync.Mutex
	sub   *client.Subscription // guarded by mu
	texts []string             // bodies and gaps, in order; guarded by mu
	marks []client.MessageRef  // of the messages; guarded by mu
	began bool                 // the subscription was accepted or refused; guarded by mu
	err   error                // guarded by mu
}

func (w *world) reader(name string) *reader {
	w.TB.Helper()
	r := w.readers[name]
	if r == nil {
		w.TB.Fatalf("no subscription %q", name)
	}
	return r
}

// subscriber is publisher and subscribe in one.
func (w *world) subscriber(c *command) string {
	w.TB.Helper()
	w.publisher(c)
	return w.subscribe(c)
}

// subscribe begins to read: subscribe APP [as NAME] topic=orders.
func (w *world) subscribe(c *command) string {
	w.TB.Helper()
	a := w.app(c.name(0))
	r := &reader{app: a, name: a.Name, topic: c.option("topic", "orders"), gate: make(chan struct{})}
	if i := slices.Index(c.names, "as"); i > 0 {
		r.name = c.name(i + 1)
	}
	if w.readers[r.name] != nil {
		c.fail("there is one already")
	}
	r.from(c)
	if c.has("fully-durable") {
		r.options = append(r.options, client.FullyDurable())
	}
	if c.has("allow-unreplicated") {
		r.options = append(r.options, client.AllowUnreplicated())
	}
	if c.has("accept-gaps") {
		r.options = append(r.options, client.OnGap(func(e *client.GapError) { r.record(w.gaps(e), nil) }))
	}
	r.discards = -1
	if d := c.option("discard", "all"); d == "none" {
		r.discards = 0
	} else if d != "all" {
		r.discards = c.number("discard")
	}
	r.answers, r.handling = c.option("answers", ""), c.duration("handling", "0s")
	r.fails = c.number("fails")
	if !c.has("hold") {
		r.openGate()
	}
	w.readers[r.name] = r
	a.readers = append(a.readers, r)
	r.begin()
	return ""
}

// from says where the subscription begins. One whose place is in a file goes
// on there.
func (r *reader) from(c *command) {
	c.tb.Helper()
	byDefault := "epoch"
	if r.app.bookmarks != nil {
		byDefault = "recent"
	}
	start, known := map[string]client.Start{"epoch": client.Epoch, "now": client.Now, "recent": client.MostRecent}[c.option("from", byDefault)]
	if !known {
		c.fail("a subscription begins at epoch, now or recent")
	}
	r.options = append(r.options, client.From(start))
	if r.app.bookmarks != nil {
		r.options = append(r.options, client.ID(r.name))
	}
}

// begin starts the loop in the application's present process, and returns when
// the subscription was accepted, or after a while.
func (r *reader) begin() {
	r.app.w.TB.Helper()
	r.mu.Lock()
	r.sub, r.texts, r.marks, r.began, r.err = nil, nil, nil, false, nil
	r.mu.Unlock()
	go r.loop(r.app.Client)
	for until := time.Now().Add(acceptTimeout); time.Now().Before(until); r.app.w.Advance(time.Millisecond) {
		r.mu.Lock()
		began := r.began
		r.mu.Unlock()
		if began {
			return
		}
	}
}

// loop ends with the process.
func (r *reader) loop(c *client.Client) {
	sub, err := c.Subscribe(context.Background(), r.topic, r.options...)
	r.mu.Lock()
	r.began, r.sub = true, sub
	r.mu.Unlock()
	if err != nil {
		r.setError(err)
		return
	}
	if r.fails != 0 {
		r.handleAgain(sub)
		return
	}
	left := r.discards
	for m, err := range sub.Messages(context.Background()) {
		if err != nil {
			r.setError(err)
			return
		}
		r.record(body(m.Body), new(m.Ref()))
		if err := r.handle(c, m, &left); err != nil {
			r.setError(err)
			return
		}
	}
}

// again is an application that calls Handle again when its function has failed.
func (r *reader) handleAgain(sub *client.Subscription) {
	failed := errors.New("failed")
	for {
		err := sub.Handle(context.Background(), func(m *client.Message) error {
			r.record(body(m.Body), new(m.Ref()))
			if m.Redeliveries < 3 && strings.HasSuffix(body(m.Body), "-"+strconv.Itoa(r.fails)) {
				return failed
			}
			return nil
		})
		if !errors.Is(err, failed) {
			r.setError(err)
			return
		}
	}
}

// handle is the application's work on a message.
func (r *reader) handle(c *client.Client, m *client.Message, left *int) error {
	<-r.gate
	if r.handling > 0 {
		<-time.After(r.handling)
	}
	if r.answers != "" {
		if _, err := c.Publish(context.Background(), r.answers, append([]byte("to-"), m.Body...)); err != nil {
			return err
		}
		if err := c.Flush(context.Background()); err != nil {
			return err
		}
	}
	if *left == 0 {
		return nil
	}
	*left--
	return m.Discard()
}

func (r *reader) record(text string, mark *client.MessageRef) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, text)
	if mark != nil {
		r.marks = append(r.marks, *mark)
	}
}

func (r *reader) setError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// letGo has messages be taken.
func (r *reader) openGate() { r.gateTimes.Do(func() { close(r.gate) }) }

// got returns the bodies received by the present process, in order.
func (r *reader) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}

// release has a reader that was told to hold go on.
func (w *world) release(c *command) string {
	w.TB.Helper()
	for _, name := range c.names {
		w.reader(name).openGate()
	}
	return ""
}

// discard discards received messages, by number, in the order given, and waits until that
// is on disk: discard sub 3 1.
func (w *world) discard(c *command) string {
	w.TB.Helper()
	r := w.reader(c.name(0))
	r.mu.Lock()
	sub, marks, texts := r.sub, r.marks, r.texts
	r.mu.Unlock()
	for i := range c.names[1:] {
		from, to := c.span(i + 1)
		for n := from; n <= to; n++ {
			at := slices.IndexFunc(texts, func(text string) bool { return strings.HasSuffix(text, "-"+strconv.Itoa(n)) })
			if at < 0 {
				c.fail("it has not received %d", n)
			}
			if err := sub.Discard(marks[at]); err != nil {
				return fmt.Sprintf("%s: %s", r.name, bookmarkReason(err))
			}
		}
	}
	if r.app.bookmarks != nil {
		ctx, cancel := w.Context()
		defer cancel()
		if err := r.app.bookmarks.Store.Sync(ctx); err != nil {
			return fmt.Sprintf("%s: %s", r.name, bookmarkReason(err))
		}
	}
	return ""
}

// received prints the messages that readers were handed in the present process: of each
// publisher in the order of arrival.
func (w *world) received(c *command) string {
	w.TB.Helper()
	w.rest()
	var b strings.Builder
	for _, name := range c.names {
		r := w.reader(name)
		fmt.Fprintf(&b, "%s: %s", name, w.byPublisher(r.received()))
		r.mu.Lock()
		if r.err != nil && !errors.Is(r.err, client.ErrClosed) {
			fmt.Fprintf(&b, "; ended: %s", w.endReason(r.err))
		}
		r.mu.Unlock()
		fmt.Fprintln(&b)
	}
	return b.String()
}
