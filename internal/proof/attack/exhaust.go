package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The limits: the cost of a hostile client, and its effect on others.
const (
	maxConnMemory    = 16 << 20              // of one connection
	maxSlowdown      = 5                     // times the undisturbed p99, or
	toleratedLatency = 50 * time.Millisecond // whichever is larger
	maxRecovery      = 5 * time.Second
	maxLogonTime     = 3 * time.Second // of a client that logs on during an attack
	drainTimeout     = 2 * time.Second
	exhaustRuns      = 3 // of each attack; the median counts
	exhaustTime      = 1500 * time.Millisecond
	readyTime        = 20 * time.Second
	reportTime       = time.Second
)

// An exhaustion is a pair, one well-behaved client, and how long its messages take before
// anybody attacks.
type exhaustion struct {
	dir         string // for the output of attackers
	pair        pair.Pair
	wellBehaved *wellBehavedClient
	baseline    latency
	runs        int            // of each attack; the median counts
	tries       int            // measurements of an attack that costs too much
	maxMemory   int            // of the instance for one attack
	args        []string       // further ones of the attackers
	newcomer    *client.Config // a client that logs on during each attack; nil: none
	forbidden   int            // runs in which an attacker got what it must not
}

// A latency is the median of times, and the 99th of 100.
type latency struct{ p50, p99 time.Duration }

// exhaust has attackers at work for a while, one after the other, and measures.
func exhaust(ctx context.Context, dir, binary string, attackers []greedyAttacker) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 4*time.Minute, errors.New("took longer than four minutes"))
	defer cancel()
	s := exhaustion{dir: dir, runs: exhaustRuns, tries: 2, maxMemory: maxConnMemory}
	config := fmt.Sprintf("max_message: 1MiB\ndrain_timeout: %v\n", drainTimeout)
	if s.pair, err = pair.Start(ctx, dir, pair.Options{Command: []string{binary}, Config: config}); err != nil {
		return false, err
	}
	defer s.pair.Close()
	if s.wellBehaved, err = newWellBehavedClient(ctx, client.Config{Name: "fine", Servers: []string{s.pair[0].URI()}}); err != nil {
		return false, err
	}
	defer s.wellBehaved.client.Close()
	if passed, err = s.judgeAll(ctx, attackers); err != nil {
		return false, err
	}
	stopped, err := s.stop(ctx, attackers)
	return passed && stopped, err
}

// judgeAll measures the pair without attackers, then has one after the other at work, and reports
// whether each costs no more than it may.
func (s *exhaustion) judgeAll(ctx context.Context, attackers []greedyAttacker) (passed bool, err error) {
	if err := s.wellBehaved.warm(ctx); err != nil {
		return false, err
	}
	if s.baseline, err = s.measureBaseline(ctx); err != nil {
		return false, err
	}
	fmt.Printf("undisturbed: p50 %v, p99 %v\n%-35s %10s %8s %7s %8s %8s %8s %9s\n", short(s.baseline.p50), short(s.baseline.p99),
		"attack", "memory", "descr.", "cpu", "p50", "p99", "limit", "recovered")
	passed = true
	for _, g := range attackers {
		ok, err := s.judgeAttack(ctx, g)
		if err != nil {
			return false, fmt.Errorf("%s: %w", g.name, err)
		}
		passed = passed && ok
	}
	return passed, nil
}

// measureBaseline is the median of runs without an attacker. It is measured once: later
// on it would hide the lasting effects of attacks.
func (s *exhaustion) measureBaseline(ctx context.Context) (latency, error) {
	var runs []latency
	for range exhaustRuns {
		l, err := s.wellBehaved.roundTrips(ctx, exhaustTime)
		if err != nil {
			return l, err
		}
		runs = append(runs, l)
	}
	slices.SortFunc(runs, func(a, b latency) int { return cmp.Compare(a.p99, b.p99) })
	return runs[len(runs)/2], nil
}

// A measurement is the cost of one run of an attack, and its effect on the well-behaved
// client.
type measurement struct {
	memory, descriptors int
	cpu                 float64 // cores
	latency
	recovered time.Duration
	logon     time.Duration // of the newcomer
	got       string        // what the attacker reports
}

// maxStolen is the largest share of the processors that the host may give to others while
// the effect on a client is judged.
const maxStolen = 0.02

// judgeAttack reports whether an attack costs no more than it may. It is measured again if that
// was too much: how much memory a process has at its peak depends on when garbage is collected,
// and the well-behaved client waits for the processors, too. A client that waits too long each
// time is not judged if the host has taken the processors away meanwhile.
func (s *exhaustion) judgeAttack(ctx context.Context, g greedyAttacker) (passed bool, err error) {
	busy := false
	for range s.tries {
		before := readCPUTimes()
		passed, slow, err := s.measureAttack(ctx, g)
		if passed || err != nil {
			return passed, err
		}
		share := readCPUTimes().stolenShare(before)
		busy = slow && share > maxStolen
		fmt.Printf("%35s  meanwhile the host has taken away %.0f %% of the processors\n", "", 100*share)
	}
	if busy {
		fmt.Printf("SKIP attack %q: the effect on others is not judged: the host took the processors away\n", g.name)
	}
	return busy, nil
}

// measureAttack reports whether an attack costs no more than it may. slow: only the
// effect on the well-behaved client is too large.
func (s *exhaustion) measureAttack(ctx context.Context, g greedyAttacker) (passed, slow bool, err error) {
	var runs []measurement
	for range s.runs {
		f, err := s.runOnce(ctx, g)
		if err != nil {
			return false, false, err
		}
		runs = append(runs, f)
	}
	slices.SortFunc(runs, func(a, b measurement) int { return cmp.Compare(a.p99, b.p99) })
	m, limit := runs[len(runs)/2], max(s.limit(), g.tolerated)
	for _, r := range runs {
		m.memory, m.descriptors, m.recovered = max(m.memory, r.memory), max(m.descriptors, r.descriptors), max(m.recovered, r.recovered)
		if strings.Contains(r.got, forbiddenMark) {
			s.forbidden++
		}
	}
	cheap := m.recovered <= maxRecovery && m.logon <= maxLogonTime && (g.floods || g.manyConns || m.memory <= s.maxMemory)
	slow = cheap && !g.floods && m.p99 > limit
	passed = cheap && !slow
	said := ""
	switch {
	case slow:
		said = "  TOO SLOW"
	case !passed:
		said = "  TOO MUCH"
	case g.floods:
		said = "  judged by recovery and SIGTERM alone: only users have a limit of bytes per second, see -secured"
	}
	fmt.Printf("%-6s %-28s %6.1f MiB %8d %7.2f %8v %8v %8v %9v%s\n", g.role, g.name, float64(m.memory)/(1<<20), m.descriptors, m.cpu,
		short(m.p50), short(m.p99), short(limit), short(m.recovered), said)
	if s.newcomer != nil {
		fmt.Printf("       a new client logs on in %v; the attacker got: %s\n", short(m.logon), cmp.Or(m.got, "nothing"))
	}
	return passed, slow, nil
}

// limit is the allowed 99th percentile during an attack.
func (s *exhaustion) limit() time.Duration { return max(maxSlowdown*s.baseline.p99, toleratedLatency) }

func short(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// runOnce has an attacker at work once.
func (s *exhaustion) runOnce(ctx context.Context, g greedyAttacker) (f measurement, err error) {
	pid := s.pair[0].PID()
	before, err := readUsage(pid)
	if err != nil {
		return f, err
	}
	most, start := before, time.Now()
	watched, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { most = watchUsage(watched, pid, most) })
	end, err := s.startAttacker(ctx, g)
	if err == nil {
		f.latency, err = s.wellBehaved.roundTrips(ctx, exhaustTime)
		if err == nil && s.newcomer != nil {
			f.logon, err = s.logOnAnew(ctx)
		}
		f.got = end()
	}
	unwatch()
	watch.Wait()
	if err != nil {
		return f, err
	}
	after, err := readUsage(pid)
	if err != nil {
		return f, err
	}
	f.memory, f.descriptors = most.memory-before.memory, most.descriptors-before.descriptors
	f.cpu = (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds()
	f.recovered, err = s.awaitRecovery(ctx)
	return f, err
}

// logOnAnew returns how long the newcomer takes to log on.
func (s *exhaustion) logOnAnew(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	c, err := client.Dial(ctx, *s.newcomer)
	if err != nil {
		return 0, err
	}
	return time.Since(start), c.Close()
}

// startAttacker starts an attacker and waits until its attack has begun. end returns its report.
func (s *exhaustion) startAttacker(ctx context.Context, g greedyAttacker) (end func() string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{"-greedy", g.name, "-clients", s.pair[0].ClientAddress, "-links", s.pair[0].ReplicationAddress()}, s.args...)
	cmd := exec.CommandContext(ctx, self, args...)
	said, err := os.OpenFile(filepath.Join(s.dir, "attackers.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer said.Close() // the process has its own
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	lines := make(chan string, 2)
	go func() { // ends with the process
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	end = func() (report string) {
		in.Close()
		select {
		case report = <-lines:
		case <-time.After(reportTime):
		}
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it was killed
		return report
	}
	select {
	case _, ok := <-lines:
		if ok {
			return end, nil
		}
		err = errors.New("the attacker has ended")
	case <-time.After(readyTime):
		err = fmt.Errorf("the attack has not begun within %v", readyTime)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	end()
	return nil, err
}

// awaitRecovery returns after how long the well-behaved client feels nothing any more.
func (s *exhaustion) awaitRecovery(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	for {
		at := time.Since(start)
		felt, err := s.wellBehaved.roundTrips(ctx, 300*time.Millisecond)
		if err != nil || felt.p99 <= s.limit() && s.pair[0].InSync() {
			return at, err
		}
		if at > 2*maxRecovery {
			return at, nil
		}
	}
}

// stop ends the instance while attackers are at work.
func (s *exhaustion) stop(ctx context.Context, attackers []greedyAttacker) (passed bool, err error) {
	attackers = slices.DeleteFunc(slices.Clone(attackers), func(g greedyAttacker) bool { return g.manyConns })
	for _, g := range attackers {
		end, err := s.startAttacker(ctx, g)
		if err != nil {
			return false, err
		}
		defer end()
	}
	start := time.Now()
	if err := s.pair[0].Stop(); err != nil {
		fmt.Println(err) // a drain that was given up is no fault here
	}
	took := time.Since(start)
	passed = took <= drainTimeout+time.Second
	fmt.Printf("SIGTERM under %d attacks: ended after %v, drain_timeout is %v\n", len(attackers), took.Round(time.Millisecond), drainTimeout)
	return passed, nil
}

// A wellBehavedClient client publishes and subscribes as it should.
type wellBehavedClient struct {
	client    *client.Client
	published chan time.Time // when each message was published
	ended     chan error     // of the subscription
}

func newWellBehavedClient(ctx context.Context, cfg client.Config) (*wellBehavedClient, error) {
	cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	f := &wellBehavedClient{client: c, published: make(chan time.Time, 1<<10), ended: make(chan error, 1)}
	sub, err := c.Subscribe(ctx, topic, client.From(client.Now)) // without From it would miss messages while its connection is down
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	go func() { // ends with the client
		f.ended <- sub.Handle(context.WithoutCancel(ctx), func(m *client.Message) error {
			n, err := strconv.ParseInt(string(m.Body), 10, 64)
			f.published <- time.Unix(0, n)
			return err
		})
	}()
	return f, nil
}

// warm publishes as much as the instance keeps of its log in memory.
func (f *wellBehavedClient) warm(ctx context.Context) error {
	for range 100 {
		if _, err := f.client.Publish(ctx, "warm", make([]byte, 200_000)); err != nil {
			return err
		}
	}
	return f.client.FlushSafe(ctx)
}

// roundTrips publishes one message after the other for a time, and returns how long it took
// until they were acknowledged by both and delivered.
func (f *wellBehavedClient) roundTrips(ctx context.Context, lasting time.Duration) (l latency, err error) {
	var took []time.Duration
	for ends := time.Now().Add(lasting); time.Now().Before(ends); {
		start := time.Now()
		if _, err := f.client.Publish(ctx, topic, strconv.AppendInt(nil, start.UnixNano(), 10)); err != nil {
			return l, err
		}
		if err := f.client.FlushSafe(ctx); err != nil {
			return l, err
		}
		select {
		case <-f.published:
		case err := <-f.ended:
			return l, fmt.Errorf("the subscription has ended: %w", err)
		case <-time.After(readyTime):
			return l, fmt.Errorf("a message was not delivered within %v", readyTime)
		}
		took = append(took, time.Since(start))
		time.Sleep(5 * time.Millisecond)
	}
	slices.Sort(took)
	return latency{took[len(took)/2], took[len(took)*99/100]}, nil
}
