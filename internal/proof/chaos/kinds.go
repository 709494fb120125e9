//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
)

// A kind is a kind of fault.
type kind struct {
	name   string
	weight int // how often it is drawn for once of the others of its group; 0: once
	group  group
	needs  []facility
	// The fault lasts for a time between these.
	least, most time.Duration
	// fresh: what it destroys must be on the other instance.
	fresh bool
	// strike does it and returns how it is undone.
	strike func(*run, context.Context, *blow) (heal, error)
}

// A group is kinds of faults that a run can be asked for by number.
type group int

const (
	every   group = iota // all kinds, not a kind's own
	killing              // kill -9 of processes
	cutting              // partitions
)

// A heal undoes a fault.
type heal func(context.Context) error

// A blow is one fault that is to happen. All about it is drawn from the seed.
type blow struct {
	*kind
	victim int           // which of two
	length time.Duration // how long it lasts
	// hurried: the next one doesn't wait until the pair is in sync again.
	hurried bool
	pause   time.Duration // until it, from when the one before was over
	rnd     *rand.Rand
	what    string // in words, set by strike
}

const ms = time.Millisecond

var kinds = []kind{
	{name: "kill", weight: 3, group: killing, least: 0, most: 3 * time.Second, strike: (*run).killInstance},
	{name: "kill-both", group: killing, least: 0, most: 1500 * ms, strike: (*run).killBoth},
	{name: "term", least: 0, most: time.Second, strike: (*run).terminate},
	{name: "stop", least: 500 * ms, most: 6 * time.Second, strike: (*run).stopInstance},
	{name: "kill-publishers", group: killing, least: 0, most: time.Second, strike: (*run).killPublishers},
	{name: "kill-subscriber", group: killing, least: 0, most: time.Second, strike: (*run).killSubscriber},
	{name: "cut-pair", group: cutting, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, strike: (*run).cutPair},
	{name: "cut-clients", group: cutting, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, strike: (*run).cutClients},
	{name: "isolate", group: cutting, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, strike: (*run).isolate},
	{name: "one-way", group: cutting, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, strike: (*run).cutOneWay},
	{name: "flap", group: cutting, needs: []facility{filtering}, strike: (*run).flap},
	{name: "rst", needs: []facility{filtering, rejecting}, least: 200 * ms, most: 500 * ms, strike: (*run).reset},
	{name: "loss", needs: []facility{filtering, random}, least: 2 * time.Second, most: 5 * time.Second, strike: (*run).lose},
	{name: "throttle", needs: []facility{shaping}, least: 2 * time.Second, most: 5 * time.Second, strike: (*run).throttle},
	{name: "full-disk", needs: []facility{loops}, least: 0, most: time.Second, strike: (*run).fillDisk},
	{name: "eio", needs: []facility{injecting}, least: 0, most: time.Second, strike: (*run).failSync},
	{name: "slow-disk", needs: []facility{injecting}, least: 2 * time.Second, most: 4 * time.Second, strike: (*run).slowSync},
	{name: "power", needs: []facility{loops, filtering}, least: 200 * ms, most: 3 * time.Second, strike: (*run).cutPower},
	{name: "power-both", needs: []facility{loops, filtering}, least: 200 * ms, most: time.Second, strike: (*run).cutPowerOfBoth},
	{name: "power-again", needs: []facility{loops, filtering}, least: 200 * ms, most: time.Second, strike: (*run).cutPowerAfterRestart},
	{name: "power-wipe", needs: []facility{loops, filtering}, least: 0, most: time.Second, fresh: true, strike: (*run).cutPowerAndWipe},
	{name: "split", needs: []facility{loops, filtering}, least: 0, most: 2 * time.Second, fresh: true, strike: (*run).split},
	{name: "wipe", needs: []facility{loops}, least: 0, most: 2 * time.Second, fresh: true, strike: (*run).wipe},
}

func kindNames() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// kindOf returns the kind of a name, nil if there is none.
func kindOf(name string) *kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &kinds[i]
}

// wanted returns the kinds of the names, or all.
func wanted(names []string) (list []*kind) {
	for i := range kinds {
		if len(names) == 0 || slices.Contains(names, kinds[i].name) {
			list = append(list, &kinds[i])
		}
	}
	return list
}

func (r *run) killInstance(_ context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "kill -9 " + in.name
	return r.back(f, in), r.killAll(in)
}

func (r *run) killBoth(_ context.Context, f *blow) (heal, error) {
	f.what = "kill -9 both instances"
	return r.back(f, r.pair[:]...), r.killAll(r.pair[:]...)
}

func (r *run) killAll(list ...*instance) error {
	for _, in := range list {
		if err := r.kill(&in.process); err != nil {
			return err
		}
	}
	return nil
}

// kill ends a process by kill -9 and counts it.
func (r *run) kill(p *process) error {
	r.kills++
	return p.kill()
}

// back is a heal that starts instances again. If the fault is hurried it
// doesn't wait until they serve.
func (r *run) back(f *blow, list ...*instance) heal {
	return func(ctx context.Context) error {
		var errs []error
		for _, in := range list {
			if f.hurried || len(list) > 1 { // two of them may wait for each other
				errs = append(errs, in.start(nil))
			} else {
				errs = append(errs, in.startReady(ctx))
			}
		}
		return errors.Join(errs...)
	}
}

func (r *run) terminate(_ context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "SIGTERM " + in.name
	return r.back(f, in), in.stop()
}

func (r *run) stopInstance(_ context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "SIGSTOP " + in.name
	return func(context.Context) error { return in.signal(syscall.SIGCONT) }, in.signal(syscall.SIGSTOP)
}

func (r *run) killPublishers(_ context.Context, f *blow) (heal, error) {
	c := r.crews[f.victim]
	f.what = "kill -9 the publishers near " + hosts[f.victim]
	if err := r.kill(&c.process); err != nil {
		return nil, err
	}
	c.next = r.ledger.died(c.names)
	r.ledger.disconnected(c.names)
	return func(context.Context) error { return c.start(nil) }, nil
}

func (r *run) killSubscriber(_ context.Context, f *blow) (heal, error) {
	s := r.subscribers[f.victim]
	f.what = "kill -9 the subscriber near " + hosts[f.victim]
	if err := r.kill(s); err != nil {
		return nil, err
	}
	r.ledger.disconnected([]string{s.name})
	return func(context.Context) error { return s.start(nil) }, nil
}

// obey has a host's network obey rules until the fault is healed.
func (r *run) obey(host string, rs rules) (heal, error) {
	return func(context.Context) error { return filter(host, rules{}) }, filter(host, rs)
}

func (r *run) cutPair(_ context.Context, f *blow) (heal, error) {
	f.what = "cut a from b; clients reach both"
	return r.obey(hosts[f.victim], cutFrom(true, hosts[1-f.victim]))
}

func (r *run) cutClients(_ context.Context, f *blow) (heal, error) {
	host := hosts[f.victim]
	f.what = "cut " + host + " from all clients"
	return r.obey(host, cutFrom(true, hostX, hostY))
}

func (r *run) isolate(_ context.Context, f *blow) (heal, error) {
	host := hosts[f.victim]
	f.what = "cut " + host + " from all"
	return r.obey(host, cutAll())
}

// cutOneWay cuts one direction of one link.
func (r *run) cutOneWay(_ context.Context, f *blow) (heal, error) {
	host, others, name := hosts[f.victim], []string{hosts[1-f.victim]}, hosts[1-f.victim]
	if f.rnd.IntN(2) == 0 {
		others, name = []string{hostX, hostY}, "the clients"
	}
	if f.rnd.IntN(2) == 0 {
		f.what = "cut one way, from " + host + " to " + name
		return r.obey(host, cutTo(others...))
	}
	f.what = "cut one way, from " + name + " to " + host
	return r.obey(host, cutFrom(false, others...))
}

// flap cuts the pair's link again and again, faster than it can settle.
func (r *run) flap(ctx context.Context, f *blow) (heal, error) {
	host, n := hosts[f.victim], 4+f.rnd.IntN(5)
	f.what = fmt.Sprintf("cut a from b %d times in a row", n)
	for range n {
		if err := filter(host, cutFrom(true, hosts[1-f.victim])); err != nil {
			return nil, err
		}
		if err := pause(ctx, 50*ms+upTo(f.rnd, 400*ms)); err != nil {
			return nil, err
		}
		if err := filter(host, rules{}); err != nil {
			return nil, err
		}
		if err := pause(ctx, 50*ms+upTo(f.rnd, 400*ms)); err != nil {
			return nil, err
		}
	}
	return func(context.Context) error { return nil }, nil
}

func (r *run) reset(_ context.Context, f *blow) (heal, error) {
	host := hosts[f.victim]
	f.what = "reset all connections of " + host
	return r.obey(host, resetAll())
}

func (r *run) lose(_ context.Context, f *blow) (heal, error) {
	host, percent := hosts[f.victim], 5+f.rnd.IntN(25)
	f.what = fmt.Sprintf("lose %d %% of all packets to and from %s", percent, host)
	return r.obey(host, lose(percent))
}

func (r *run) throttle(_ context.Context, f *blow) (heal, error) {
	host, kbit := hosts[f.victim], 500+f.rnd.IntN(1500)
	f.what = fmt.Sprintf("throttle %s to %d kbit/s", host, kbit)
	return func(context.Context) error { return throttle(host, 0) }, throttle(host, kbit)
}

// fillDisk takes all room; the instance must end when it needs some, and once
// more if it is started before there is any.
func (r *run) fillDisk(_ context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "fill the disk of " + in.name
	in.mayEnd()
	if err := in.disk.fill(); err != nil {
		return nil, err
	}
	full, err := in.awaitFull()
	if err == nil && !full { // it had no time to refuse, and starts on the space of its reserve file
		r.ledger.remark(time.Now())
		if err = in.startToEnd(); err == nil {
			_, err = in.awaitFull()
		}
	}
	return func(ctx context.Context) error {
		if err := in.disk.empty(); err != nil {
			return err
		}
		if runs, err := in.awaitRoom(); runs || err != nil {
			return err
		}
		return r.back(f, in)(ctx)
	}, err
}

// failSync fails an fsync; the instance must end at the first, although half
// of the time later ones would succeed.
func (r *run) failSync(_ context.Context, f *blow) (heal, error) {
	in, how := r.pair[f.victim], "error=EIO"
	f.what = "EIO on every fsync of " + in.name
	if f.rnd.IntN(2) == 0 {
		how += ":when=1"
		f.what = "EIO on one fsync of " + in.name
	}
	in.mayEnd()
	injected, err := inject(in, how)
	if err != nil {
		return nil, err
	}
	err = in.endsWith(exitcode.Disk)
	r.ledger.remark(time.Now())
	n, countErr := injected.detach()
	if err = errors.Join(err, countErr); err == nil && n != 1 {
		err = fmt.Errorf("%s ended after %d failed fsyncs, not after the first", in.name, n)
	}
	return r.back(f, in), err
}

func (r *run) slowSync(_ context.Context, f *blow) (heal, error) {
	in, delay := r.pair[f.victim], 50*ms+upTo(f.rnd, 900*ms)
	f.what = fmt.Sprintf("each fsync of %s takes %v longer", in.name, delay.Round(ms))
	injected, err := inject(in, fmt.Sprintf("delay_enter=%d", delay.Microseconds()))
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { _, err := injected.detach(); return err }, nil
}

func (r *run) cutPower(ctx context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "cut the power of " + in.name
	return r.powerOff(ctx, f, in)
}

func (r *run) cutPowerOfBoth(ctx context.Context, f *blow) (heal, error) {
	f.what = "cut the power of both instances"
	return r.powerOff(ctx, f, r.pair[:]...)
}

// cutPowerAfterRestart cuts the power while what was read back after a kill
// may be in the page cache only.
func (r *run) cutPowerAfterRestart(ctx context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "kill -9 " + in.name + ", start it and cut its power"
	if err := r.killAll(in); err != nil {
		return nil, err
	}
	if err := in.startReady(ctx); err != nil {
		return nil, err
	}
	r.ledger.remark(time.Now())
	return r.powerOff(ctx, f, in)
}

// powerOff has instances vanish from the network in the middle of what they do,
// and loses what had not reached their disks. They are there again with their
// network. Half of the time their disks are slow before, so that much of what
// they wrote is not synced yet.
func (r *run) powerOff(ctx context.Context, f *blow, list ...*instance) (heal, error) {
	if f.rnd.IntN(2) == 0 {
		release, err := r.holdBack(ctx, f, list...)
		defer release()
		if err != nil {
			return nil, err
		}
	}
	return r.powerOffNow(f, list...)
}

// powerOffNow is powerOff with the disks as they are.
func (r *run) powerOffNow(f *blow, list ...*instance) (heal, error) {
	for _, in := range list {
		if err := filter(in.host, cutAll()); err != nil {
			return nil, err
		}
	}
	for _, in := range list {
		if err := in.signal(syscall.SIGSTOP); err != nil {
			return nil, err
		}
	}
	for _, in := range list {
		n, err := losePower(in)
		if err != nil {
			return nil, err
		}
		f.what += fmt.Sprintf("; %d records of %s had not reached its disk", n, in.name)
	}
	return func(ctx context.Context) error {
		for _, in := range list {
			if err := filter(in.host, rules{}); err != nil {
				return err
			}
		}
		return r.back(f, list...)(ctx)
	}, nil
}

// holdBack makes the disks of instances so slow that what they write stays
// unsynced, and waits for some. Release gives back what is left of it.
func (r *run) holdBack(ctx context.Context, f *blow, list ...*instance) (release func(), err error) {
	var all []*injection
	release = func() {
		for _, i := range all {
			i.detach() // its instance may be gone by now, with nothing to tell
		}
	}
	if r.missing[injecting] != nil {
		return release, nil
	}
	for _, in := range list {
		i, err := inject(in, "delay_enter=1000000")
		if err != nil {
			return release, err
		}
		all = append(all, i)
	}
	return release, pause(ctx, 100*ms+upTo(f.rnd, 500*ms))
}

// losePower has a stopped instance's disk lose what had not reached the device
// and returns how many records that were.
func losePower(in *instance) (records int, err error) {
	if err := in.disk.leaveUnsynced(); err != nil {
		return 0, err
	}
	image, err := in.disk.snapshot()
	if err != nil {
		return 0, err
	}
	if err := in.kill(); err != nil {
		return 0, err
	}
	before := countRecords(in.journal())
	if err := in.disk.swap(image); err != nil {
		return 0, err
	}
	return before - countRecords(in.journal()), in.disk.lostUnsynced()
}

// countRecords returns how many records stand in a journal up to where it can be read.
func countRecords(dir string) (n int) {
	dumpJournal(dir, func(record, []byte) error { n++; return nil })
	return n
}

func (r *run) wipe(_ context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	f.what = "replace the disk of " + in.name + " by an empty one"
	return r.back(f, in), r.emptyDisk(in)
}

// cutPowerAndWipe leaves one disk only, and of that what had reached it: all
// that was said to be on two disks must be there. Half of the time what is on
// it was read back after a kill that came before it was synced.
func (r *run) cutPowerAndWipe(ctx context.Context, f *blow) (heal, error) {
	in, other := r.pair[f.victim], r.pair[1-f.victim]
	f.what = "cut the power of " + in.name + " and replace the disk of " + other.name
	off := func() (heal, error) { return r.powerOff(ctx, f, in) }
	if f.rnd.IntN(2) == 0 {
		f.what = "kill -9 " + in.name + ", start it with a slow disk, cut its power and replace the disk of " + other.name
		if err := r.killUnsynced(ctx, f, in); err != nil {
			return nil, err
		}
		off = func() (heal, error) { return r.powerOffNow(f, in) }
	}
	r.ledger.remark(time.Now())
	undo, err := off()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := other.start(nil); err != nil {
			return err
		}
		return undo(ctx)
	}, r.emptyDisk(other)
}

// killUnsynced kills an instance while what it wrote is not synced, and starts
// it again on a disk that is slow from the first: what it says soon after to be
// durable had better be.
func (r *run) killUnsynced(ctx context.Context, f *blow, in *instance) error {
	release, err := r.holdBack(ctx, f, in)
	if err == nil {
		err = r.killAll(in)
	}
	release()
	if err != nil {
		return err
	}
	if r.missing[injecting] == nil {
		in.slow = "500000"
	}
	err = in.startReady(ctx)
	in.slow = ""
	if err != nil {
		return err
	}
	return pause(ctx, upTo(f.rnd, 300*ms))
}

// split cuts the pair's link until both instances go on alone, and then one of
// them dies, half of the time with its disk, before the other has what it took.
func (r *run) split(ctx context.Context, f *blow) (heal, error) {
	in := r.pair[f.victim]
	if err := filter(in.host, cutFrom(true, hosts[1-f.victim])); err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Second+upTo(f.rnd, 3*time.Second)); err != nil {
		return nil, err
	}
	r.ledger.remark(time.Now())
	f.what = "cut a from b, then kill -9 " + in.name
	err := r.killAll(in)
	if wipe := f.rnd.IntN(2) == 0; err == nil && wipe {
		f.what += " and replace its disk"
		err = r.emptyDisk(in)
	}
	return func(ctx context.Context) error {
		if err := filter(in.host, rules{}); err != nil {
			return err
		}
		return r.back(f, in)(ctx)
	}, err
}

// emptyDisk kills an instance, if it is alive, and replaces its disk by an empty one.
func (r *run) emptyDisk(in *instance) error {
	if in.alive() {
		if err := r.killAll(in); err != nil {
			return err
		}
	}
	if err := in.disk.detach(); err != nil {
		return err
	}
	return in.disk.replace()
}
