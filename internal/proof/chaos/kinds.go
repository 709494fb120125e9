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

// A faultKind is a kind of fault.
type faultKind struct {
	name   string
	weight int // how often it is drawn for once of the others of its group; 0: once
	group  group
	needs  []facility
	// The fault lasts for a time between these.
	least, most time.Duration
	// needsPeerCopy: the data that it destroys must be on the other instance.
	needsPeerCopy bool
	// inject does it and returns how it is undone.
	inject func(*run, context.Context, *plannedFault) (heal, error)
}

// A group is kinds of faults that a run can be asked for by number.
type group int

const (
	groupAll        group = iota // all kinds, not a kind's own
	groupKills                   // kill -9 of processes
	groupPartitions              // partitions
)

// A heal undoes a fault.
type heal func(context.Context) error

// A plannedFault is one fault that is to happen. All about it is drawn from the seed.
type plannedFault struct {
	*faultKind
	victim int           // which of two
	length time.Duration // how long it lasts
	// hurried: the next one doesn't wait until the pair is in sync again.
	hurried     bool
	pause       time.Duration // until it, from when the one before was over
	rnd         *rand.Rand
	description string // in words, set by inject
}

const ms = time.Millisecond

var faultKinds = []faultKind{
	{name: "kill", weight: 3, group: groupKills, least: 0, most: 3 * time.Second, inject: (*run).killInstance},
	{name: "kill-both", group: groupKills, least: 0, most: 1500 * ms, inject: (*run).killBoth},
	{name: "term", least: 0, most: time.Second, inject: (*run).terminate},
	{name: "stop", least: 500 * ms, most: 6 * time.Second, inject: (*run).stopInstance},
	{name: "kill-publishers", group: groupKills, least: 0, most: time.Second, inject: (*run).killPublishers},
	{name: "kill-subscriber", group: groupKills, least: 0, most: time.Second, inject: (*run).killSubscriber},
	{name: "cut-pair", group: groupPartitions, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, inject: (*run).cutPair},
	{name: "cut-clients", group: groupPartitions, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, inject: (*run).cutClients},
	{name: "isolate", group: groupPartitions, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, inject: (*run).isolate},
	{name: "one-way", group: groupPartitions, needs: []facility{filtering}, least: 500 * ms, most: 5 * time.Second, inject: (*run).cutOneWay},
	{name: "flap", group: groupPartitions, needs: []facility{filtering}, inject: (*run).flap},
	{name: "rst", needs: []facility{filtering, rejecting}, least: 200 * ms, most: 500 * ms, inject: (*run).reset},
	{name: "loss", needs: []facility{filtering, random}, least: 2 * time.Second, most: 5 * time.Second, inject: (*run).lose},
	{name: "throttle", needs: []facility{shaping}, least: 2 * time.Second, most: 5 * time.Second, inject: (*run).throttle},
	{name: "full-disk", needs: []facility{loops}, least: 0, most: time.Second, inject: (*run).fillDisk},
	{name: "eio", needs: []facility{injecting}, least: 0, most: time.Second, inject: (*run).failSync},
	{name: "slow-disk", needs: []facility{injecting}, least: 2 * time.Second, most: 4 * time.Second, inject: (*run).slowSync},
	{name: "power", needs: []facility{loops, filtering}, least: 200 * ms, most: 3 * time.Second, inject: (*run).cutPower},
	{name: "power-both", needs: []facility{loops, filtering}, least: 200 * ms, most: time.Second, inject: (*run).cutPowerOfBoth},
	{name: "power-again", needs: []facility{loops, filtering}, least: 200 * ms, most: time.Second, inject: (*run).cutPowerAfterRestart},
	{name: "power-wipe", needs: []facility{loops, filtering}, least: 0, most: time.Second, needsPeerCopy: true, inject: (*run).cutPowerAndWipe},
	{name: "split", needs: []facility{loops, filtering}, least: 0, most: 2 * time.Second, needsPeerCopy: true, inject: (*run).split},
	{name: "wipe", needs: []facility{loops}, least: 0, most: 2 * time.Second, needsPeerCopy: true, inject: (*run).wipe},
}

func kindNames() (names []string) {
	for _, k := range faultKinds {
		names = append(names, k.name)
	}
	return names
}

// kindOf returns the kind of a name, nil if there is none.
func kindOf(name string) *faultKind {
	i := slices.IndexFunc(faultKinds, func(k faultKind) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &faultKinds[i]
}

// kindsNamed returns the kinds of the names, or all.
func kindsNamed(names []string) (list []*faultKind) {
	for i := range faultKinds {
		if len(names) == 0 || slices.Contains(names, faultKinds[i].name) {
			list = append(list, &faultKinds[i])
		}
	}
	return list
}

func (r *run) killInstance(_ context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "kill -9 " + in.name
	return r.restartHeal(f, in), r.killAll(in)
}

func (r *run) killBoth(_ context.Context, f *plannedFault) (heal, error) {
	f.description = "kill -9 both instances"
	return r.restartHeal(f, r.pair[:]...), r.killAll(r.pair[:]...)
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

// restartHeal is a heal that starts instances again. If the fault is hurried it
// doesn't wait until they serve.
func (r *run) restartHeal(f *plannedFault, list ...*instance) heal {
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

func (r *run) terminate(_ context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "SIGTERM " + in.name
	return r.restartHeal(f, in), in.stop()
}

func (r *run) stopInstance(_ context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "SIGSTOP " + in.name
	return func(context.Context) error { return in.signal(syscall.SIGCONT) }, in.signal(syscall.SIGSTOP)
}

func (r *run) killPublishers(_ context.Context, f *plannedFault) (heal, error) {
	c := r.publisherProcesses[f.victim]
	f.description = "kill -9 the publishers near " + hosts[f.victim]
	if err := r.kill(&c.process); err != nil {
		return nil, err
	}
	c.next = r.recorder.publishersKilled(c.names)
	r.recorder.disconnected(c.names)
	return func(context.Context) error { return c.start(nil) }, nil
}

func (r *run) killSubscriber(_ context.Context, f *plannedFault) (heal, error) {
	s := r.subscribers[f.victim]
	f.description = "kill -9 the subscriber near " + hosts[f.victim]
	if err := r.kill(s); err != nil {
		return nil, err
	}
	r.recorder.disconnected([]string{s.name})
	return func(context.Context) error { return s.start(nil) }, nil
}

// applyRules has a host's network obey rules until the fault is healed.
func (r *run) applyRules(host string, rs rules) (heal, error) {
	return func(context.Context) error { return filter(host, rules{}) }, filter(host, rs)
}

func (r *run) cutPair(_ context.Context, f *plannedFault) (heal, error) {
	f.description = "cut a from b; clients reach both"
	return r.applyRules(hosts[f.victim], cutFrom(true, hosts[1-f.victim]))
}

func (r *run) cutClients(_ context.Context, f *plannedFault) (heal, error) {
	host := hosts[f.victim]
	f.description = "cut " + host + " from all clients"
	return r.applyRules(host, cutFrom(true, hostX, hostY))
}

func (r *run) isolate(_ context.Context, f *plannedFault) (heal, error) {
	host := hosts[f.victim]
	f.description = "cut " + host + " from all"
	return r.applyRules(host, cutAll())
}

// cutOneWay cuts one direction of one link.
func (r *run) cutOneWay(_ context.Context, f *plannedFault) (heal, error) {
	host, others, name := hosts[f.victim], []string{hosts[1-f.victim]}, hosts[1-f.victim]
	if f.rnd.IntN(2) == 0 {
		others, name = []string{hostX, hostY}, "the clients"
	}
	if f.rnd.IntN(2) == 0 {
		f.description = "cut one way, from " + host + " to " + name
		return r.applyRules(host, cutTo(others...))
	}
	f.description = "cut one way, from " + name + " to " + host
	return r.applyRules(host, cutFrom(false, others...))
}

// flap cuts the pair's link again and again, faster than it can recover.
func (r *run) flap(ctx context.Context, f *plannedFault) (heal, error) {
	host, n := hosts[f.victim], 4+f.rnd.IntN(5)
	f.description = fmt.Sprintf("cut a from b %d times in a row", n)
	for range n {
		if err := filter(host, cutFrom(true, hosts[1-f.victim])); err != nil {
			return nil, err
		}
		if err := pause(ctx, 50*ms+randomTime(f.rnd, 400*ms)); err != nil {
			return nil, err
		}
		if err := filter(host, rules{}); err != nil {
			return nil, err
		}
		if err := pause(ctx, 50*ms+randomTime(f.rnd, 400*ms)); err != nil {
			return nil, err
		}
	}
	return func(context.Context) error { return nil }, nil
}

func (r *run) reset(_ context.Context, f *plannedFault) (heal, error) {
	host := hosts[f.victim]
	f.description = "reset all connections of " + host
	return r.applyRules(host, resetAll())
}

func (r *run) lose(_ context.Context, f *plannedFault) (heal, error) {
	host, percent := hosts[f.victim], 5+f.rnd.IntN(25)
	f.description = fmt.Sprintf("lose %d %% of all packets to and from %s", percent, host)
	return r.applyRules(host, lose(percent))
}

func (r *run) throttle(_ context.Context, f *plannedFault) (heal, error) {
	host, kbit := hosts[f.victim], 500+f.rnd.IntN(1500)
	f.description = fmt.Sprintf("throttle %s to %d kbit/s", host, kbit)
	return func(context.Context) error { return throttle(host, 0) }, throttle(host, kbit)
}

// fillDisk takes all room; the instance must end when it needs some, and once
// more if it is started before there is any.
func (r *run) fillDisk(_ context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "fill the disk of " + in.name
	in.expectEnd()
	if err := in.disk.fill(); err != nil {
		return nil, err
	}
	full, err := in.awaitFull()
	if err == nil && !full { // it had no time to refuse, and starts on the space of its reserve file
		r.recorder.setFaultTime(time.Now())
		if err = in.startToEnd(); err == nil {
			_, err = in.awaitFull()
		}
	}
	return func(ctx context.Context) error {
		if err := in.disk.freeFilled(); err != nil {
			return err
		}
		if runs, err := in.awaitRoom(); runs || err != nil {
			return err
		}
		return r.restartHeal(f, in)(ctx)
	}, err
}

// failSync fails an fsync; the instance must end at the first, although half
// of the time later ones would succeed.
func (r *run) failSync(_ context.Context, f *plannedFault) (heal, error) {
	in, how := r.pair[f.victim], "error=EIO"
	f.description = "EIO on every fsync of " + in.name
	if f.rnd.IntN(2) == 0 {
		how += ":when=1"
		f.description = "EIO on one fsync of " + in.name
	}
	in.expectEnd()
	injected, err := attachStrace(in, how)
	if err != nil {
		return nil, err
	}
	err = in.awaitExit(exitcode.Disk)
	r.recorder.setFaultTime(time.Now())
	n, countErr := injected.detach()
	if err = errors.Join(err, countErr); err == nil && n != 1 {
		err = fmt.Errorf("%s ended after %d failed fsyncs, not after the first", in.name, n)
	}
	return r.restartHeal(f, in), err
}

func (r *run) slowSync(_ context.Context, f *plannedFault) (heal, error) {
	in, delay := r.pair[f.victim], 50*ms+randomTime(f.rnd, 900*ms)
	f.description = fmt.Sprintf("each fsync of %s takes %v longer", in.name, delay.Round(ms))
	injected, err := attachStrace(in, fmt.Sprintf("delay_enter=%d", delay.Microseconds()))
	if err != nil {
		return nil, err
	}
	return func(context.Context) error { _, err := injected.detach(); return err }, nil
}

func (r *run) cutPower(ctx context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "cut the power of " + in.name
	return r.powerOff(ctx, f, in)
}

func (r *run) cutPowerOfBoth(ctx context.Context, f *plannedFault) (heal, error) {
	f.description = "cut the power of both instances"
	return r.powerOff(ctx, f, r.pair[:]...)
}

// cutPowerAfterRestart cuts the power while records that were read back after a kill may
// be in the page cache only.
func (r *run) cutPowerAfterRestart(ctx context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "kill -9 " + in.name + ", start it and cut its power"
	if err := r.killAll(in); err != nil {
		return nil, err
	}
	if err := in.startReady(ctx); err != nil {
		return nil, err
	}
	r.recorder.setFaultTime(time.Now())
	return r.powerOff(ctx, f, in)
}

// powerOff makes instances vanish from the network in the middle of their work, and loses
// the data that had not reached their disks. They come back with their network. Half of
// the time their disks are slow before, so that many writes are not synced yet.
func (r *run) powerOff(ctx context.Context, f *plannedFault, list ...*instance) (heal, error) {
	if f.rnd.IntN(2) == 0 {
		release, err := r.slowDisks(ctx, f, list...)
		defer release()
		if err != nil {
			return nil, err
		}
	}
	return r.powerOffNow(f, list...)
}

// powerOffNow is powerOff with the disks as they are.
func (r *run) powerOffNow(f *plannedFault, list ...*instance) (heal, error) {
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
		f.description += fmt.Sprintf("; %d records of %s had not reached its disk", n, in.name)
	}
	return func(ctx context.Context) error {
		for _, in := range list {
			if err := filter(in.host, rules{}); err != nil {
				return err
			}
		}
		return r.restartHeal(f, list...)(ctx)
	}, nil
}

// slowDisks makes the disks of instances so slow that their writes stay unsynced, and
// waits for some. release ends it.
func (r *run) slowDisks(ctx context.Context, f *plannedFault, list ...*instance) (release func(), err error) {
	var all []*straceInjection
	release = func() {
		for _, i := range all {
			i.detach() // its instance may be gone by now, and the counts do not matter
		}
	}
	if r.missing[injecting] != nil {
		return release, nil
	}
	for _, in := range list {
		i, err := attachStrace(in, "delay_enter=1000000")
		if err != nil {
			return release, err
		}
		all = append(all, i)
	}
	return release, pause(ctx, 100*ms+randomTime(f.rnd, 500*ms))
}

// losePower makes a stopped instance's disk lose the data that had not reached the device
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
	if err := in.disk.swapImage(image); err != nil {
		return 0, err
	}
	return before - countRecords(in.journal()), in.disk.checkUnsyncedLost()
}

// countRecords returns how many records stand in a journal up to where it can be read.
func countRecords(dir string) (n int) {
	dumpJournal(dir, func(record, []byte) error { n++; return nil })
	return n
}

func (r *run) wipe(_ context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	f.description = "replace the disk of " + in.name + " by an empty one"
	return r.restartHeal(f, in), r.replaceDisk(in)
}

// cutPowerAndWipe leaves only one disk, after a power cut: all messages that were
// reported as on two disks must be there. Half of the time its records were read back
// after a kill that came before they were synced.
func (r *run) cutPowerAndWipe(ctx context.Context, f *plannedFault) (heal, error) {
	in, other := r.pair[f.victim], r.pair[1-f.victim]
	f.description = "cut the power of " + in.name + " and replace the disk of " + other.name
	off := func() (heal, error) { return r.powerOff(ctx, f, in) }
	if f.rnd.IntN(2) == 0 {
		f.description = "kill -9 " + in.name + ", start it with a slow disk, cut its power and replace the disk of " + other.name
		if err := r.killUnsynced(ctx, f, in); err != nil {
			return nil, err
		}
		off = func() (heal, error) { return r.powerOffNow(f, in) }
	}
	r.recorder.setFaultTime(time.Now())
	undo, err := off()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := other.start(nil); err != nil {
			return err
		}
		return undo(ctx)
	}, r.replaceDisk(other)
}

// killUnsynced kills an instance while its writes are not synced, and starts it again on
// a disk that is slow from the first: it must not report those records as durable too
// early.
func (r *run) killUnsynced(ctx context.Context, f *plannedFault, in *instance) error {
	release, err := r.slowDisks(ctx, f, in)
	if err == nil {
		err = r.killAll(in)
	}
	release()
	if err != nil {
		return err
	}
	if r.missing[injecting] == nil {
		in.fsyncDelay = "500000"
	}
	err = in.startReady(ctx)
	in.fsyncDelay = ""
	if err != nil {
		return err
	}
	return pause(ctx, randomTime(f.rnd, 300*ms))
}

// split cuts the pair's link until both instances go on alone. Then one of them dies,
// half of the time with its disk, before the other has its new messages.
func (r *run) split(ctx context.Context, f *plannedFault) (heal, error) {
	in := r.pair[f.victim]
	if err := filter(in.host, cutFrom(true, hosts[1-f.victim])); err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Second+randomTime(f.rnd, 3*time.Second)); err != nil {
		return nil, err
	}
	r.recorder.setFaultTime(time.Now())
	f.description = "cut a from b, then kill -9 " + in.name
	err := r.killAll(in)
	if wipe := f.rnd.IntN(2) == 0; err == nil && wipe {
		f.description += " and replace its disk"
		err = r.replaceDisk(in)
	}
	return func(ctx context.Context) error {
		if err := filter(in.host, rules{}); err != nil {
			return err
		}
		return r.restartHeal(f, in)(ctx)
	}, err
}

// replaceDisk kills an instance, if it is alive, and replaces its disk by an empty one.
func (r *run) replaceDisk(in *instance) error {
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
