package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// publishCommand is "publish".
type publishCommand struct {
	connectionFlags
	Topic    string   `required:"" placeholder:"TOPIC" help:"Topic to publish to; not a pattern."`
	Store    string   `placeholder:"FILE" help:"Publish store: a file, created if missing. With it, the same command continues after a kill or an interrupt, and each line is published once. Without it, lines are kept in memory, and an interrupted run cannot be continued."`
	File     string   `default:"-" placeholder:"PATH" help:"Input file; - is standard input."`
	Whole    bool     `help:"Publish the whole input as one message."`
	Rate     float64  `placeholder:"N" help:"Lines to publish per second. Default: as fast as possible."`
	Safe     bool     `help:"Wait at the end until every line is on the disks of both servers. Without it, one disk is enough while the other server is away."`
	Restart  bool     `help:"Publish the input from its beginning even if the last run with this store has not completed. Messages that it left in the store are still sent. If that run is interrupted, continue it without --restart."`
	Header   []string `sep:"none" placeholder:"KEY=VALUE" help:"Header of each message. Repeat for each other header."`
	JSON     bool     `name:"json" help:"Print the result as one JSON object."`
	Progress bool     `help:"Print progress to standard error once a second, even if it is not a terminal."`
}

// Help returns the text for --help.
func (*publishCommand) Help() string {
	return `Each line is a message. With --store the run can be killed at any moment, and
the same command continues with the next line:

    holdfast publish --server tcp://127.0.0.1:9007/amps/json --server tcp://127.0.0.1:9008/amps/json \
      --topic quakes --store out.db --file earthquakes.ndjson

Exit codes: 0 every line is published; 1 a line is too long or was rejected;
2 usage, the input is not that of the interrupted run, or the servers refuse the
user, its client name or the user's use of the store (three times in a row, or
until --timeout); 3 the command could not continue (interrupt, disk, no server
within --timeout for another reason); 4 store or client name in use; 5 a newer
version has written the store.`
}

// Run implements the command. Its very last step is to note that the run has ended.
// After a kill at any moment before that, the next run continues this one.
func (c *publishCommand) Run(o *output) error {
	p, err := c.execute(o)
	if p == nil || !p.complete {
		return err
	}
	return cmp.Or(p.store.recordEnd(), err)
}

func (c *publishCommand) execute(o *output) (*publishRun, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	in, err := openInput(c.File)
	if err != nil {
		return nil, err
	}
	defer in.close()
	ctx, end := interruptible()
	defer end(nil)
	p, err := c.newRun(end, o, in)
	if err != nil {
		return nil, err
	}
	return p, c.report(ctx, o, p, p.run(ctx))
}

func (c *publishCommand) check() error {
	switch {
	case c.Topic == "":
		return usageErrorf("--topic is empty")
	case c.Rate < 0 || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0):
		return usageErrorf("--rate is %v: it must be a number of lines per second", c.Rate)
	case c.Restart && c.Store == "":
		return usageErrorf("--restart needs a --store: without one, every run starts from the beginning")
	}
	return c.connectionFlags.check()
}

// A publishRun is a run of the command.
type publishRun struct {
	flags      *publishCommand
	line       pubstore.Message // of each line, without its body
	screen     *screen
	connection *connection
	in         *input
	store      lineStore
	name       string // of the client
	began      time.Time

	client      *client.Client
	linesBefore int64 // lines that earlier runs have read

	complete bool // the servers have the whole input, and the result was printed

	mu       sync.Mutex
	last     lastLine // guarded by mu
	rejected int      // guarded by mu
	denied   bool     // the user knows that a permission is missing; guarded by mu
}

// A lastLine is the last line that was put into the store, also by earlier runs, with
// its publisher and sequence. It maps a sequence to a line number, since each line
// takes one sequence.
type lastLine struct {
	publisher uint64
	sequence  uint64
	at        extent
}

// newRun opens the store and returns a run that is ready to start.
func (c *publishCommand) newRun(end context.CancelCauseFunc, o *output, in *input) (*publishRun, error) {
	headers, err := parseHeaders(c.Header)
	if err != nil {
		return nil, err
	}
	p := &publishRun{flags: c, line: pubstore.Message{Topic: c.Topic, Headers: headers}, in: in, name: c.Name, began: time.Now(), screen: newScreen(o.err, c.Quiet)}
	if c.Store == "" {
		p.store = &memoryStore{pubstore.NewMemory(pubstore.MemoryOptions{}), p.line}
	} else if err := p.open(); err != nil {
		return nil, err
	}
	p.name = cmp.Or(p.name, generatedName())
	p.connection = c.newConnection(p.screen, end)
	return p, nil
}

// open opens the store file.
func (p *publishRun) open() error {
	s, name, err := openResumable(p.flags.Store, p.line, pubstore.BoltOptions{})
	if err != nil {
		return err
	}
	if p.flags.Restart {
		err = s.forgetInput()
	}
	if err == nil && p.name != "" && name != "" && p.name != name {
		err = usageErrorf("--store %s belongs to client name %q: omit --name, or use another store", p.flags.Store, name)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	p.name = cmp.Or(p.name, name)
	p.store = s
	return nil
}

// run publishes the input and waits until the servers have it.
func (p *publishRun) run(ctx context.Context) error {
	if p.flags.Progress || isTerminal(p.screen.w) {
		defer p.screen.trackProgress(p.progress)()
	}
	from, err := p.publishedBefore()
	if err != nil {
		return err
	}
	if p.flags.Store != "" && from.Lines == 0 {
		p.reportStart()
	}
	if err := p.dial(ctx, from); err != nil {
		return err
	}
	f := newLineReader(p.in, p.flags.Whole, maxLine-p.line.Size(), p.flags.Rate)
	f.onSkipped = func() {
		p.screen.notify("continuing after line %d of %s, where the last run stopped", from.Lines, p.in.name)
	}
	readCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go f.run(readCtx, from)
	if err := p.publish(ctx, f); err != nil {
		return err
	}
	return p.awaitAcks(ctx)
}

// reportStart reports that the store has nothing of the input, and how many other
// messages it keeps.
func (p *publishRun) reportStart() {
	if kept := p.store.Usage().Messages; kept > 0 {
		p.screen.notify("--store %s keeps %s of earlier runs, to be sent first", p.flags.Store, plural(kept, "message"))
		return
	}
	p.screen.notify("--store %s has no interrupted run: publishing from the beginning", p.flags.Store)
}

// publishedBefore returns the part of the input that earlier runs have published.
func (p *publishRun) publishedBefore() (from extent, err error) {
	s, ok := p.store.(*resumableStore)
	if !ok {
		return from, nil
	}
	if from, err = s.extent(p.flags.Whole); err != nil {
		return from, err
	}
	s.stored.Input, s.stored.Topic, s.stored.Whole = p.in.name, p.flags.Topic, p.flags.Whole // on disk with the first line
	p.last = lastLine{s.stored.Publisher, s.stored.Sequence, from}
	p.linesBefore = from.Lines
	return from, nil
}

// dial connects. It fails if the store was restored from a copy: such a store does
// not know how far the input was really published.
func (p *publishRun) dial(ctx context.Context, from extent) (err error) {
	hooks := p.connection.hooks()
	hooks.FailedWrite = p.failedWrite
	hooks.LifeRenewed = func(err error) { p.screen.notify("%v: the store is a copy, or was restored from one", err) }
	config := client.Config{Name: p.name, Servers: p.flags.Server, PublishStore: p.store, Hooks: hooks}
	if err := p.flags.configure(&config); err != nil {
		return err
	}
	if p.client, err = p.connection.dial(ctx, config); err != nil {
		return err
	}
	if from.Lines > 0 && p.client.Stats().Publish.Rollbacks > 0 {
		return &exitError{exitFault, fmt.Errorf("%s is older than the servers' state of it: lines after line %d may already be published. "+
			"Look at the end of the topic (holdfast subscribe). Then run this command again to continue with line %d, or remove the published lines from the input and use --restart",
			p.flags.Store, from.Lines, from.Lines+1)}
	}
	return nil
}

// maxLine is the length in bytes of the longest line that is read. No store accepts a
// longer message. Client.CheckMessage knows the limit of the server in use.
const maxLine = 16 << 20

// publish puts all lines into the store.
func (p *publishRun) publish(ctx context.Context, r *lineReader) error {
	for {
		select {
		case batch, ok := <-r.batches:
			if !ok && r.err == io.EOF {
				return nil
			}
			if !ok {
				return r.err
			}
			if err := p.storeLines(ctx, batch); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// storeLines puts lines into the store, up to the first one that the server would not
// accept.
func (p *publishRun) storeLines(ctx context.Context, lines []line) error {
	lines, tooLarge := p.check(lines)
	for len(lines) > 0 {
		n, last, err := p.store.storeLines(ctx, lines)
		if n > 0 {
			p.setLast(last, lines[n-1].at)
		}
		if err != nil {
			return err
		}
		lines = lines[n:]
	}
	return tooLarge
}

// check returns the lines before the first one that the server would not accept, and
// the error for that one.
func (p *publishRun) check(lines []line) ([]line, error) {
	for i, l := range lines {
		m := p.line
		m.Body = l.body
		if err := p.client.CheckMessage(&m); err != nil {
			return lines[:i], &exitError{exitFault, fmt.Errorf("%s: line %d: %w: the line is not published; shorten or remove it", p.in.name, l.at.Lines, err)}
		}
	}
	return lines, nil
}

func (p *publishRun) setLast(last uint64, at extent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = lastLine{currentPublisher(p.store), last, at}
}

// stored returns how much of the input was put into the store, also by earlier runs.
func (p *publishRun) stored() extent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.at
}

// awaitAcks waits until the servers have everything.
func (p *publishRun) awaitAcks(ctx context.Context) error {
	if p.flags.Safe {
		return p.client.FlushSafe(ctx)
	}
	if err := p.client.Flush(ctx); err != nil {
		return err
	}
	if !p.client.Stats().Publish.Downgraded { // both servers have it; the store lets it go soon
		flushCtx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = p.client.FlushSafe(flushCtx) // the result counts the messages that are not safe
	}
	return nil
}

// maxRejectionsShown is the number of rejected lines that are reported one by one.
const maxRejectionsShown = 10

// failedWrite is the hook FailedWrite.
func (p *publishRun) failedWrite(e *client.RejectedError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	which := "a line of an earlier run"
	if n := p.last.at.Lines - int64(p.last.sequence-e.Message.Sequence); e.Publisher == p.last.publisher && n > 0 {
		which = fmt.Sprintf("line %d", n)
	}
	if p.rejected++; p.rejected <= maxRejectionsShown {
		p.screen.warn("%s was rejected by the servers: %s", which, e.Reason)
	}
	if errors.Is(e, client.ErrNotEntitled) && !p.denied {
		p.denied = true
		p.screen.warn("the user may not publish to %q: have its 'publish' allow the topic on every server, then publish the rejected lines again", e.Message.Topic)
	}
}

// progress returns one line of progress.
func (p *publishRun) progress() string {
	stored, usage := p.stored(), p.store.Usage()
	s := fmt.Sprintf("%d lines, %d in flight", stored.Lines, usage.Messages-usage.Single)
	if p.in.size > 0 {
		s = progressBar(stored.Bytes, p.in.size) + "  " + s
	}
	if usage.Single > 0 {
		s += fmt.Sprintf(", %d on one disk only", usage.Single)
	}
	rate := float64(stored.Lines-p.linesBefore) / time.Since(p.began).Seconds()
	return s + fmt.Sprintf("  %.0f/s  %s", rate, p.connection.serverText())
}

// A publishResult is the result of a run.
type publishResult struct {
	Complete bool    `json:"complete"`          // the input has ended, and the servers have all of it
	Topic    string  `json:"topic"`             //
	Lines    int64   `json:"lines"`             // lines of the input that the servers or the store have
	Before   int64   `json:"before"`            // of these, lines read by the earlier runs that this one continued
	Bytes    int64   `json:"bytes"`             // length of these lines in the input
	Rejected int     `json:"rejected"`          // lines that the servers rejected, in this run
	OneDisk  int     `json:"one_disk"`          // messages that only one server has so far; the store keeps them
	Unacked  int     `json:"unacknowledged"`    // messages that no server has acknowledged; the store keeps them
	Seconds  float64 `json:"seconds"`           // duration of this run
	Store    string  `json:"store,omitempty"`   //
	Stopped  string  `json:"stopped,omitempty"` // why it is not complete
}

func (p *publishRun) result(err error) publishResult {
	usage := p.store.Usage()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := publishResult{
		Complete: err == nil,
		Topic:    p.flags.Topic, Lines: p.last.at.Lines, Before: p.linesBefore, Bytes: p.last.at.Bytes, Rejected: p.rejected,
		OneDisk: usage.Single, Unacked: usage.Messages - usage.Single, Seconds: time.Since(p.began).Seconds(), Store: p.flags.Store,
	}
	if err != nil {
		r.Stopped = err.Error()
	}
	return r
}

// String returns the result as a sentence for people.
func (r publishResult) String() string {
	s := plural(int(r.Lines), "line") + " published"
	if r.Rejected > 0 {
		s = fmt.Sprintf("%d of %s, %d rejected", r.Lines-int64(r.Rejected), s, r.Rejected)
	}
	if r.Before > 0 {
		s += fmt.Sprintf(", %d of them by earlier runs", r.Before)
	}
	switch {
	case r.Lines == int64(r.Rejected) && r.Rejected > 0 && r.OneDisk+r.Unacked == 0:
		return s
	case r.OneDisk+r.Unacked == 0:
		return s + "; safe on every server"
	case r.Store == "":
		return s + fmt.Sprintf("; %d on one server's disk only (--safe waits for the other)", r.OneDisk+r.Unacked)
	}
	return s + fmt.Sprintf("; %d on one server's disk only: %s keeps them, and the next run with it sends them (--file %s sends nothing else)",
		r.OneDisk+r.Unacked, r.Store, os.DevNull)
}

// report ends a run, closes the client and the store, and prints the result.
func (c *publishCommand) report(ctx context.Context, o *output, p *publishRun, err error) error {
	err = identity{c.user(c.Server), p.name}.connectionError(ctx, err)
	if err != nil {
		p.flushBriefly(err)
	}
	if p.client != nil {
		p.client.Close()
	}
	if err == nil {
		err = p.store.recordDone()
	}
	r := p.result(err)
	err = errors.Join(err, p.store.close())
	switch {
	case c.JSON:
		err = errors.Join(err, o.printJSON(r))
	case r.Complete:
		o.printf("%v\n", r)
	}
	if err != nil {
		return r.withAdvice(err)
	}
	p.complete = true
	if r.Rejected > 0 {
		return errFault
	}
	return nil
}

// flushBriefly waits a short time for the acks of the lines that were read before a run
// stopped. It does not wait if no server could be used. It does not wait either
// after an interrupt of a run with a store, which keeps the lines anyway.
func (p *publishRun) flushBriefly(why error) {
	if p.client == nil || errors.Is(why, errNoServer) || p.flags.Store != "" && errors.Is(why, errInterrupted) {
		return
	}
	flushCtx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.client.Flush(flushCtx) // the result counts the messages without an ack
}

// withAdvice adds to an error where the lines are and how to continue. It leaves a
// usage error unchanged, since the user has to correct something first.
func (r *publishResult) withAdvice(err error) error {
	e, special := errors.AsType[*exitError](err)
	unacked := ""
	if r.Unacked > 0 {
		unacked = fmt.Sprintf(" (%d not acknowledged yet)", r.Unacked)
	}
	switch {
	case special && e.code == exitUsage, r.Lines == 0:
		return err
	case r.Store == "" && r.Unacked > 0:
		return fmt.Errorf("%w; all lines up to line %d were sent, but %d were not acknowledged and may be lost: --store would keep them", err, r.Lines, r.Unacked)
	case r.Store == "":
		return fmt.Errorf("%w; all lines up to line %d were published", err, r.Lines)
	}
	return fmt.Errorf("%w; all lines up to line %d are on the servers or in %s%s: the same command continues after it", err, r.Lines, r.Store, unacked)
}
