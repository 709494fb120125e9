package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// subscribeCommand is "subscribe".
type subscribeCommand struct {
	connectionFlags
	Topic             string        `required:"" placeholder:"TOPIC" help:"Topic to subscribe to. With any of ^ $$ . * + ? ( ) [ ] { } | \\ it is a regular expression, matched anywhere in a topic: for the single topic orders.eu write ^orders\\.eu$$. On servers with users an expression gives the messages of those topics only that the user may read, and no error if there are none."`
	From              string        `placeholder:"START" help:"Where to start: epoch (the start of the log), now, a bookmark or a comma-separated list of them as --json prints them, or a time such as 2026-01-31T12:00:00Z. With --store it counts only if the store has no place yet, and the default is epoch. Without --store the default is now."`
	Store             string        `placeholder:"FILE" help:"Bookmark store: a file, created if missing. With it, the same command continues where the last one ended, on any server."`
	ID                string        `name:"id" placeholder:"ID" help:"Name of the place in the store. Default: the topic. A store can hold many places."`
	Restart           bool          `help:"Start at --from even if the store has a place. If that run is interrupted, continue it without --restart."`
	Out               string        `placeholder:"FILE" help:"Write to this file instead of standard output. It gets each message exactly once, even after a kill. Needs --store."`
	Count             int           `placeholder:"N" help:"Exit after this many messages. Later ones stay for the next run."`
	UntilIdle         time.Duration `placeholder:"DURATION" help:"Exit after this time without a message while a server is connected."`
	Batch             int           `default:"100" placeholder:"N" help:"Maximum number of messages that are written to standard output and then discarded together. A kill between the two steps repeats one batch at most. 1 is slow."`
	Headers           bool          `help:"Print the headers of each message before its body, as a JSON object and a tab. --json prints them in any case."`
	JSON              bool          `name:"json" help:"Print one JSON object per line instead of bodies."`
	Raw               bool          `help:"Do not escape the control characters of bodies on a terminal."`
	FullyDurable      bool          `help:"Show a message only when both servers have it on disk."`
	AcceptGaps        bool          `help:"Continue after messages that the servers have removed."`
	AllowUnreplicated bool          `help:"Also use a server to which the topic is not replicated synchronously; it may lack messages."`
	Filter            string        `placeholder:"FILTER" help:"Content filter in the server's language; holdfastd has none."`
}

// Help returns the text for --help.
func (*subscribeCommand) Help() string {
	return `Writes the body of each message and a newline, until interrupted. With --store
the same command continues where the last one ended, on any server:

    holdfast subscribe --server tcp://127.0.0.1:9007/amps/json --server tcp://127.0.0.1:9008/amps/json \
      --topic quakes --store in.db

A kill -9 repeats at most the batch that was being written, and nothing with --out.

Exit codes: 0 interrupted, --count reached, idle, or the reader has closed the
pipe; 1 messages are no longer in the log, or fewer than --count came; 2 usage, or
the servers refuse the topic, or the user or its client name (three times in a row,
or until --timeout); 3 the command could not continue (disk, no server within
--timeout for another reason); 4 store or client name in use; 5 a newer version has written the store.`
}

// Run implements the command.
func (c *subscribeCommand) Run(o *output) error {
	start, err := c.check()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // a write returns EPIPE instead
	ctx, end := interruptible()
	defer end(nil)
	r := &subscribeRun{flags: c, screen: newScreen(o.err, c.Quiet), start: start, name: cmp.Or(c.Name, generatedName()), sink: sink{out: o.out, maxBatch: c.Batch}}
	if c.Raw {
		r.sink.out = unescaped(o.out)
	}
	if meant, foreign := topic.Wildcard(c.Topic); foreign {
		r.screen.notify("--topic %s is a regular expression, matched anywhere in a topic, and not a wildcard; you may mean '%s'", c.Topic, meant)
	}
	if err := r.open(); err != nil {
		return errors.Join(err, r.close())
	}
	err = identity{c.user(c.Server), r.name}.connectionError(ctx, r.run(ctx, end))
	return errors.Join(r.result(err), r.close())
}

func (c *subscribeCommand) check() (client.Start, error) {
	switch {
	case c.Topic == "":
		return nil, usageErrorf("--topic is empty")
	case c.Count < 0:
		return nil, usageErrorf("--count is %d: it must not be negative", c.Count)
	case c.Batch < 1:
		return nil, usageErrorf("--batch is %d: it must be 1 or more", c.Batch)
	case c.UntilIdle < 0:
		return nil, usageErrorf("--until-idle is %v: it must not be negative", c.UntilIdle)
	case c.Out == "" && isClosed(os.Stdout):
		return nil, usageErrorf("standard output is closed, and messages count as read once they are written: use --out, or redirect standard output")
	case c.Store == "" && (c.ID != "" || c.Restart):
		return nil, usageErrorf("--id and --restart need a --store, which keeps the place")
	case c.Store == "" && c.Out != "":
		return nil, usageErrorf("--out needs a --store, which records the length of the file; without one, redirect standard output")
	}
	if _, err := topic.Parse(c.Topic); err != nil { // the server would refuse it with less advice
		return nil, usageErrorf("--topic %q: %v; for the single topic of that name write '^%s$'", c.Topic, err, regexp.QuoteMeta(c.Topic))
	}
	start, err := c.from()
	if err != nil {
		return nil, err
	}
	return start, c.connectionFlags.check()
}

// from returns the start of the subscription if the store has no place yet.
func (c *subscribeCommand) from() (client.Start, error) {
	switch from := strings.ToLower(c.From); {
	case from == "most-recent" && c.Store == "":
		return nil, usageErrorf("--from most-recent needs a --store, which keeps the place")
	case from == "now", from == "" && c.Store == "":
		return client.Now, nil
	case from == "", from == "epoch", from == "most-recent": // used if the store has no place
		return client.Epoch, nil
	}
	if strings.Contains(c.From, "|") {
		return bookmarks(c.From)
	}
	for _, form := range []string{time.RFC3339Nano, "20060102T150405Z"} {
		if t, err := time.Parse(form, c.From); err == nil {
			return client.At(t), nil
		}
	}
	return nil, usageErrorf("--from %q is not epoch, now, most-recent, a bookmark (such as 14273104871|43|) or a time (such as 2026-01-31T12:00:00Z)", c.From)
}

// bookmarks parses a comma-separated list of bookmarks.
func bookmarks(text string) (client.Start, error) {
	var all []client.Bookmark
	for one := range strings.SplitSeq(strings.TrimSuffix(text, ","), ",") {
		b, err := bookmarkstore.ParseBookmark(one)
		if err == nil && b.Sequence == 0 {
			err = fmt.Errorf("%q: sequences begin at 1", one)
		}
		if err != nil {
			return nil, usageErrorf("--from: %w; write it as --json prints it, such as 14273104871|43|", err)
		}
		all = append(all, b)
	}
	return client.After(all...), nil
}

// A subscribeRun is a run of the command.
type subscribeRun struct {
	flags  *subscribeCommand
	screen *screen
	start  client.Start
	name   string
	sink   sink
	client *client.Client
	read   int // messages so far
}

// open opens the store and the output file.
func (r *subscribeRun) open() error {
	f := r.flags
	if f.Store == "" {
		return nil
	}
	id := cmp.Or(f.ID, f.Topic)
	known, err := r.sink.open(f.Store, id, bookmarkstore.Query{Topic: f.Topic, Filter: f.Filter}, f.Restart)
	if err != nil {
		return err
	}
	switch {
	case !known && !f.Restart:
		r.screen.notify("--store %s has no place for %q yet: starting at %s", f.Store, id, cmp.Or(f.From, "epoch"))
	case f.From != "":
		r.screen.notify("continuing where the last run ended, as recorded in %s; --restart starts at --from again", f.Store)
	}
	if !f.Restart {
		r.start = client.MostRecentOr(r.start)
	}
	if f.Out == "" {
		return nil
	}
	return r.sink.openOut(f.Out, f.Restart)
}

func (r *subscribeRun) close() error {
	if r.client != nil {
		r.client.Close()
	}
	return r.sink.close()
}

var errIdle = errors.New("no message for --until-idle")

// run subscribes and writes the messages.
func (r *subscribeRun) run(ctx context.Context, end context.CancelCauseFunc) (err error) {
	contact := r.flags.newConnection(r.screen, end)
	config := client.Config{Name: r.name, Servers: r.flags.Server, Hooks: contact.hooks()}
	if r.sink.bookmarks != nil {
		config.BookmarkStore = r.sink.bookmarks
	}
	if err := r.flags.configure(&config); err != nil {
		return err
	}
	if r.client, err = contact.dial(ctx, config); err != nil {
		return err
	}
	sub, err := r.client.Subscribe(ctx, r.flags.Topic, r.options()...)
	if err != nil {
		return err
	}
	r.sink.sub = sub
	return r.writeMessages(ctx, sub)
}

func (r *subscribeRun) options() []client.SubscribeOption {
	f := r.flags
	opts := []client.SubscribeOption{client.From(r.start), client.ID(r.sink.id), client.Filter(f.Filter)}
	if f.JSON {
		opts = append(opts, client.WithTime())
	}
	if f.FullyDurable {
		opts = append(opts, client.FullyDurable())
	}
	if f.AcceptGaps {
		opts = append(opts, client.OnGap(func(gap *client.GapError) { r.screen.warn("%v", gap) }))
	}
	if f.AllowUnreplicated {
		opts = append(opts, client.AllowUnreplicated())
	}
	return opts
}

// writeMessages writes messages until ctx ends or --count is reached. It commits when
// a batch is full or when no more messages are queued.
func (r *subscribeRun) writeMessages(ctx context.Context, sub *client.Subscription) error {
	ctx, received, stop := r.idleContext(ctx)
	defer stop()
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return cmp.Or(r.sink.commit(), err)
		}
		received()
		if err := r.sink.add(m, r.flags.JSON, r.flags.Headers); err != nil {
			return err
		}
		r.read++
		enough := r.read == r.flags.Count
		if enough || r.sink.full() || sub.Stats().Queued == 0 {
			if err := r.sink.commit(); err != nil || enough {
				return err
			}
		}
	}
	return r.sink.commit()
}

// idleContext returns a context that ends with errIdle when received was not called
// for --until-idle while the client has a server.
func (r *subscribeRun) idleContext(ctx context.Context) (idle context.Context, received, stop func()) {
	after := r.flags.UntilIdle
	if after == 0 {
		return ctx, func() {}, func() {}
	}
	idle, end := context.WithCancelCause(ctx)
	timer := time.NewTimer(after)
	go func() {
		for {
			select {
			case <-timer.C:
				if r.client.Stats().State == client.StateLive {
					end(errIdle)
				}
				timer.Reset(after)
			case <-idle.Done():
				return
			}
		}
	}()
	return idle, func() { timer.Reset(after) }, func() { end(nil); timer.Stop() }
}

// result converts the error that ended a run to the result of the command, nil if the
// run ended as the user wanted.
func (r *subscribeRun) result(err error) error {
	gap, isGap := errors.AsType[*client.GapError](err)
	refused, isRefused := errors.AsType[*client.CommandError](err)
	switch {
	case errors.Is(err, errIdle) && r.read < r.flags.Count:
		return &exitError{exitFault, fmt.Errorf("received %s instead of %d, and then nothing for %v", plural(r.read, "message"), r.flags.Count, r.flags.UntilIdle)}
	case errors.Is(err, errIdle), errors.Is(err, errReaderGone), errors.Is(err, errInterrupted):
		return nil
	case isGap:
		return &exitError{exitFault, fmt.Errorf("%w; use --accept-gaps to continue after them", gap)}
	case errors.Is(err, client.ErrNotAuthenticated), errors.Is(err, client.ErrNotEntitled):
		return err // with advice already
	case isRefused:
		return &exitError{exitUsage, refused}
	case errors.Is(err, client.ErrNotReplicated):
		return &exitError{exitFault, fmt.Errorf("%w: wait for the --server that has it, or use --allow-unreplicated", err)}
	}
	return err
}
