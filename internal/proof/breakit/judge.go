package breakit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// restTimeout is how long everything published may take to become safe.
const restTimeout = time.Minute

// A report is the content of all locations once everything has come to rest.
type report struct {
	published checker.Keys
	locations []location
	differing int   // publishers whose records are not the same in both journals
	restError error // why not everything came to rest
	wipedBoth bool  // a disk was wiped while the other lacked something
}

// A location is where messages were found.
type location struct {
	name string
	keys checker.Keys
}

// combined is the verdict on all locations together.
func (r *report) combined() checker.Verdict {
	var all []checker.Keys
	for _, p := range r.locations {
		all = append(all, p.keys)
	}
	return checker.Compare(r.published, all...)
}

func (r *report) clean() bool {
	return r.combined().Clean() && r.differing == 0 && r.restError == nil && r.published.Len() > 0
}

// summary is the verdict on one line.
func (r *report) summary() string {
	v := r.combined()
	line := fmt.Sprintf("lost %d · duplicated %d · out of order %d", v.Lost, v.Duplicated, v.Disordered)
	if v.Foreign > 0 {
		line += fmt.Sprintf(" · never published %d", v.Foreign)
	}
	if r.differing > 0 {
		line += fmt.Sprintf(" · journals differ in %d publishers", r.differing)
	}
	if r.wipedBoth {
		line += " · both disks were wiped on request"
	}
	if r.restError != nil {
		line += " · did not settle: " + r.restError.Error()
	}
	return line
}

// write writes the table.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "\n  %-16s %10s %8s %12s %14s\n", "", "messages", "lost", "duplicated", "out of order")
	fmt.Fprintf(w, "  %-16s %10d\n", "published", r.published.Len())
	for _, p := range r.locations {
		v := checker.Compare(r.published, p.keys)
		fmt.Fprintf(w, "  %-16s %10d %8d %12d %14d\n", p.name, v.Present, v.Lost, v.Duplicated, v.Disordered)
	}
	fmt.Fprintf(w, "\n%s\n", r.summary())
}

// judge holds the traffic, lets everything come to rest, stops the pair and
// reads both journals. The pair is left stopped, the traffic held.
func (w *world) judge(ctx context.Context) (*report, error) {
	w.gate.hold()
	w.logf("publishing has stopped; waiting until all messages are safe and delivered")
	r := &report{published: w.fleet.Keys(), wipedBoth: w.wipedBoth.Load()}
	r.restError = w.awaitRest(ctx, r.published.Len())
	if ctx.Err() != nil {
		w.gate.release()
		return nil, context.Cause(ctx)
	}
	for _, in := range w.pair {
		if in.Alive() {
			r.restError = errors.Join(r.restError, in.Stop())
		}
	}
	for _, s := range w.subscribers {
		r.locations = append(r.locations, location{"subscriber " + s.name, s.keys()})
	}
	return r, r.readJournals(w.pair)
}

// readJournals reads the journals of the pair.
func (r *report) readJournals(instances pair.Pair) error {
	var index [2]journal.Index
	for i, in := range instances {
		keys, err := fleet.ReadJournal(in.Journal(), keyOf)
		if err == nil {
			index[i], err = journal.ReadIndex(seglog.ReadOnly, in.Journal())
		}
		if err != nil {
			return fmt.Errorf("journal of %s: %w", in.Name, err)
		}
		r.locations = append(r.locations, location{"journal of " + in.Name, keys})
	}
	r.differing = len(journal.Compare(index[0], index[1]).Diffs)
	return nil
}

// awaitRest returns when all that was published is safe and delivered, or why it is not.
func (w *world) awaitRest(ctx context.Context, published int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restTimeout, fmt.Errorf("not within %v", restTimeout))
	defer cancel()
	for !w.allRunning() { // an instance may be on its way up or down
		w.repair(ctx)
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("an instance does not start: %w", context.Cause(ctx))
		}
	}
	if err := w.pair.AwaitSync(ctx); err != nil {
		return err
	}
	if err := w.fleet.Drain(ctx); err != nil {
		return err
	}
	w.awaitDelivered(ctx, published)
	return nil
}

// allRunning reports whether both instances run and nothing is done to them.
func (w *world) allRunning() bool {
	w.mu.Lock()
	idle := w.states[0].activity == "" && w.states[1].activity == "" && !w.cut
	w.mu.Unlock()
	return idle && w.pair[0].Alive() && w.pair[1].Alive() && !w.pair[0].Suspended() && !w.pair[1].Suspended()
}

// awaitDelivered waits until each subscriber has as many messages as were published and
// no more come for a second. The verdict reports missing ones, and too many.
func (w *world) awaitDelivered(ctx context.Context, published int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last, since := -1, time.Now(); ; {
		least, sum := published, 0
		for _, s := range w.subscribers {
			v, _, _ := s.counts()
			least, sum = min(least, v.Present), sum+v.Present
		}
		if sum != last {
			last, since = sum, time.Now()
		}
		if quiet := time.Since(since); least >= published && quiet > time.Second || quiet > 15*time.Second {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// resume starts the pair again after a judgement, and lets the traffic go on.
func (w *world) resume(ctx context.Context) {
	w.repair(ctx)
	w.gate.release()
}

// save writes the histories into the world's directory, a line for each message.
func (r *report) save(dir string) error {
	err := saveKeys(filepath.Join(dir, "published.txt"), r.published)
	for _, p := range r.locations {
		err = errors.Join(err, saveKeys(filepath.Join(dir, strings.ReplaceAll(p.name, " ", "-")+".txt"), p.keys))
	}
	return err
}

func saveKeys(file string, keys checker.Keys) error {
	var b strings.Builder
	for publisher, all := range keys {
		for _, key := range all {
			fmt.Fprintln(&b, publisher, key)
		}
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
