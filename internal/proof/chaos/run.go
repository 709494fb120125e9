//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A run is one execution of the test.
type run struct {
	spec
	recorder           *recorder
	pair               [2]*instance
	publisherProcesses [2]*publisherProcess
	subscribers        [2]*process
	fail               func(error)        // ends the run
	missing            map[facility]error // facilities that are missing, and why

	start    time.Time
	outcomes []outcome
	kills    int      // processes killed by kill -9
	skipped  []string // kinds that are not available
	stalls   *stallDetector
	passed   bool
}

// A publisherProcess is a process of publishers.
type publisherProcess struct {
	process
	names []string
	next  []uint64 // number of each one's first message in its next life
}

// publishersPerCrew is how many publishers a process has.
const publishersPerCrew = 4

// execute runs the test and reports whether all is well.
func execute(ctx context.Context, spec spec) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, spec.limit(), fmt.Errorf("not done within %v", spec.limit()))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{spec: spec, fail: fail, start: time.Now(), stalls: newStallDetector()}
	defer r.close()
	if err := makeNetwork(); err != nil {
		return false, skipAll(spec.options, err.Error())
	}
	r.missing = findFacilities(spec.Dir)
	list, err := r.available()
	if err != nil {
		return false, err
	}
	plan, err := newSchedule(spec.options, list)
	if err != nil {
		return false, err
	}
	if err := r.startAll(ctx); err != nil {
		return false, err
	}
	err = r.injectFaults(ctx, plan)
	if err == nil {
		err = r.finish(ctx)
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) { // an interrupted run needs no explanation
			r.printLogs()
		}
		return false, err
	}
	f, err := judge(spec.Dir)
	if err != nil {
		return false, err
	}
	r.print(os.Stdout)
	r.passed = f.print(os.Stdout)
	return r.passed, nil
}

// printf prints one line of the timeline.
func (r *run) printf(format string, args ...any) {
	fmt.Printf("%8.3fs  %s\n", time.Since(r.start).Seconds(), fmt.Sprintf(format, args...))
}

// available returns the kinds of fault that are available, and reports the others.
func (r *run) available() (list []*faultKind, err error) {
	var unlisted []string
	for _, k := range kindsNamed(r.Faults) {
		i := slices.IndexFunc(k.needs, func(f facility) bool { return r.missing[f] != nil })
		if i < 0 {
			list = append(list, k)
			continue
		}
		fmt.Printf("SKIP %s: %v\n", k.name, r.missing[k.needs[i]])
		r.skipped = append(r.skipped, k.name)
		if r.Limited && !slices.Contains(r.Skips, k.name) {
			unlisted = append(unlisted, k.name)
		}
	}
	switch {
	case len(unlisted) > 0:
		return nil, fmt.Errorf("these kinds of fault were skipped but are not listed in -skips: %v", unlisted)
	case len(list) == 0:
		return nil, fmt.Errorf("no kind of fault is available here")
	}
	return list, nil
}

// startAll starts the pair and its clients.
func (r *run) startAll(ctx context.Context) (err error) {
	r.recorder, err = newRecorder(filepath.Join(r.Dir, "history.jsonl"), func(client, text string) {
		r.fail(fmt.Errorf("%s reports an event that must not happen: %s", client, text))
	})
	if err != nil {
		return err
	}
	for i := range r.pair {
		r.pair[i], err = newInstance(hosts[i], hosts[1-i], r.Dir, r.Binary, r.missing[loops] != nil, r.fail)
		if err != nil {
			return err
		}
	}
	for _, in := range r.pair {
		if err := in.start(nil); err != nil {
			return err
		}
	}
	if err := awaitSync(ctx, r.pair); err != nil {
		return err
	}
	for i, host := range []string{hostX, hostY} {
		servers := []string{serverURI(hosts[i]), serverURI(hosts[1-i])}
		if err := r.beginClients(i, host, servers); err != nil {
			return err
		}
	}
	r.printf("the pair is in sync; %d publishers, %d messages a second, 2 subscribers",
		2*publishersPerCrew, 2*publishersPerCrew*r.Rate)
	r.watch(time.Now())
	return r.untilRecovered(ctx)
}

// beginClients starts the processes on one host.
func (r *run) beginClients(i int, host string, servers []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := &publisherProcess{process: process{name: "publishers-" + host, host: host, onLine: r.hear, onUnexpectedEnd: r.fail}}
	for n := range publishersPerCrew {
		c.names, c.next = append(c.names, fmt.Sprintf("%s%d", host, n+1)), append(c.next, 1)
	}
	c.log = filepath.Join(r.Dir, c.name+".log")
	c.args = func() []string {
		return []string{self, "publisher", text(publisherSpec{filepath.Join(r.Dir, c.name), servers, r.Rate, c.names, c.next})}
	}
	s := &process{name: "subscriber-" + host, host: host, onLine: r.hear, onUnexpectedEnd: r.fail}
	s.log = filepath.Join(r.Dir, s.name+".log")
	life := 0
	s.args = func() []string {
		life++
		return []string{self, "subscriber", text(subscriberSpec{s.name, servers, filepath.Join(r.Dir, s.name+".db"), life})}
	}
	r.publisherProcesses[i], r.subscribers[i] = c, s
	if err := s.start(nil); err != nil {
		return err
	}
	return c.start(nil)
}

func text(spec any) string {
	b, err := json.Marshal(spec)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(b)
}

func (r *run) hear(line string) { r.recorder.recordLine(line) }

// watch begins to measure the effect on the clients.
func (r *run) watch(at time.Time) {
	var publishers, subscribers []string
	for i := range r.publisherProcesses {
		publishers = append(publishers, r.publisherProcesses[i].names...)
		subscribers = append(subscribers, r.subscribers[i].name)
	}
	r.recorder.watch(newWatch(at, publishers, subscribers))
}

// injectFaults makes faults until the time is over, or all have been made.
func (r *run) injectFaults(ctx context.Context, s *schedule) error {
	end := time.Now().Add(r.Duration)
	for r.counted() || time.Now().Before(end) {
		f := s.next()
		if f == nil {
			break
		}
		if err := pause(ctx, f.pause); err != nil {
			return err
		}
		if err := r.injectFault(ctx, f); err != nil {
			return fmt.Errorf("fault %d, %s: %w", s.n, f.name, err)
		}
	}
	return awaitSync(ctx, r.pair)
}

// injectFault makes one fault and waits for the recovery.
func (r *run) injectFault(ctx context.Context, f *plannedFault) error {
	if f.needsPeerCopy {
		if err := errors.Join(awaitSync(ctx, r.pair), r.awaitSpread(ctx)); err != nil {
			return err
		}
	}
	sessions := [2]int{r.recorder.sessions(serverURI(hostA)), r.recorder.sessions(serverURI(hostB))}
	r.stalls.longest() // earlier stalls do not count
	r.watch(time.Now())
	heal, err := f.faultKind.inject(r, ctx, f)
	r.recorder.record(historyEvent{Kind: eventFault, Text: f.description})
	r.printf("%s (%d clients were on a, %d on b)", f.description, sessions[0], sessions[1])
	if err != nil {
		return err
	}
	if err := pause(ctx, f.length); err != nil {
		return err
	}
	if err := heal(ctx); err != nil {
		return err
	}
	healed := time.Now()
	if err := r.untilRecovered(ctx); err != nil {
		return err
	}
	after := "the next one comes before the pair is in sync"
	if !f.hurried {
		if err := awaitSync(ctx, r.pair); err != nil {
			return err
		}
		after = fmt.Sprintf("in sync %v after it was healed", short(time.Since(healed)))
	}
	r.recordOutcome(f, after)
	return nil
}

// awaitSpread waits until clients are connected to both instances, but not for long.
func (r *run) awaitSpread(ctx context.Context) error {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		if r.recorder.sessions(serverURI(hostA)) > 0 && r.recorder.sessions(serverURI(hostB)) > 0 {
			break
		}
		if err := pause(ctx, 10*ms); err != nil {
			return err
		}
	}
	return nil
}

// recordOutcome notes the effect of a fault on the clients.
func (r *run) recordOutcome(f *plannedFault, after string) {
	w := r.recorder.watch(nil)
	w.end(time.Now())
	firstAck, lastAck := w.recoveryTimes(w.acks)
	firstDelivery, lastDelivery := w.recoveryTimes(w.deliveries)
	r.printf("    next persisted ack after %v, all publishers %v; next delivery after %v, both subscribers %v; longest without %v, without a safe one %v, without a delivery %v; %s",
		short(firstAck), short(lastAck), short(firstDelivery), short(lastDelivery),
		short(silence(w.acks)), short(silence(w.safe)), short(silence(w.deliveries)), after)
	o := outcome{f.name, !f.hurried, r.stalls.longest(), silence(w.acks), silence(w.safe), silence(w.deliveries)}
	if o.stall >= stallThreshold {
		r.printf("    the machine itself stood still for %v", short(o.stall))
	}
	r.outcomes = append(r.outcomes, o)
}

// untilRecovered waits until every client is served again.
func (r *run) untilRecovered(ctx context.Context) error {
	deadline := time.Now().Add(stepTimeout)
	for !r.recorder.recovered() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not every client was served again within %v", stepTimeout)
		}
		if err := pause(ctx, 2*ms); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func short(d time.Duration) time.Duration { return d.Round(ms) }

// finish waits for rest, stops everything and reads the disks.
func (r *run) finish(ctx context.Context) error {
	r.printf("no more faults; waiting until everything is safe")
	for _, c := range r.publisherProcesses {
		if err := c.writeLine("stop"); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(2 * stepTimeout)
	for r.recorder.drainedCount() < len(r.publisherProcesses) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not all messages were safe within %v", 2*stepTimeout)
		}
		if err := pause(ctx, 10*ms); err != nil {
			return err
		}
	}
	r.printf("all is safe; waiting for the subscribers")
	if err := r.awaitReceived(ctx); err != nil {
		return err
	}
	for i := range r.publisherProcesses {
		if err := r.publisherProcesses[i].closeStdin(); err != nil {
			return err
		}
		if err := r.subscribers[i].closeStdin(); err != nil {
			return err
		}
	}
	for _, in := range r.pair {
		if err := in.stop(); err != nil {
			return err
		}
	}
	return r.dump()
}

// awaitReceived waits until each subscriber was handed as many messages as were published
// and nothing more comes, or nothing came for long. The verdict reports missing ones.
func (r *run) awaitReceived(ctx context.Context) error {
	last, since := -1, time.Now()
	for {
		publishes, n := r.recorder.totals([]string{r.subscribers[0].name, r.subscribers[1].name})
		if n != last {
			last, since = n, time.Now()
		}
		quiet := time.Since(since)
		if n >= publishes && quiet > 2*time.Second || quiet > 20*time.Second {
			return nil
		}
		if err := pause(ctx, 50*ms); err != nil {
			return err
		}
	}
}

// dump writes the records of both journals to files, and completes the history.
func (r *run) dump() error {
	var errs []error
	for _, in := range r.pair {
		if in != nil {
			errs = append(errs, dumpTo(in.journal(), filepath.Join(r.Dir, "journal-"+in.name+".jsonl")))
		}
	}
	return errors.Join(append(errs, r.recorder.close())...)
}

// printLogs shows the end of the logs of a run that failed.
func (r *run) printLogs() {
	var logs []string
	for i := range r.pair {
		if r.pair[i] != nil {
			logs = append(logs, r.pair[i].log)
		}
		if r.publisherProcesses[i] != nil {
			logs = append(logs, r.publisherProcesses[i].log, r.subscribers[i].log)
		}
	}
	for _, log := range logs {
		for _, line := range lastLines(log, 15) {
			fmt.Printf("%s: %s\n", filepath.Base(filepath.Dir(log))+"/"+filepath.Base(log), line)
		}
	}
}

// close ends whatever still runs and gives back the disks. Were it not called,
// the end of the namespaces would do it.
func (r *run) close() {
	r.stalls.end()
	var all []*process
	for i := range r.pair {
		if r.publisherProcesses[i] != nil {
			all = append(all, &r.publisherProcesses[i].process, r.subscribers[i])
		}
		if r.pair[i] != nil {
			all = append(all, &r.pair[i].process)
		}
	}
	for _, p := range all {
		if p.alive() {
			p.kill()
		}
	}
	if r.recorder != nil && !r.passed {
		r.dump() // as far as possible, to look into
	}
	for _, in := range r.pair {
		if in == nil {
			continue
		}
		if r.Keep || !r.passed { // the journal, out of the image
			runTool("cp", "-r", in.journal(), filepath.Join(in.dir, "journal"))
		}
		in.disk.detach()
	}
}
