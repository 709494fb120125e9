package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

const earthquakes = "../../../examples/failover/earthquakes.ndjson"

// A realPair is a pair of real instances. Its methods run the command as processes.
type realPair struct {
	*shell
	pair pair.Pair
	rnd  *rand.Rand
}

func newRealPair(t *testing.T) *realPair {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	instances, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: []string{os.Args[0], "bench", "instance"}, DowngradeAfter: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(instances.Close)
	return &realPair{shell: newShell(t), pair: instances, rnd: rand.New(rand.NewPCG(seed, 0))}
}

// serverFlags returns the flags for both servers, the ith first.
func (s *realPair) serverFlags(i int) []string {
	return []string{"--server", s.pair[i%2].URI(), "--server", s.pair[(i+1)%2].URI(), "--quiet"}
}

// process starts the command as a process.
func (s *realPair) process(stdout io.Writer, args ...string) (cmd *exec.Cmd, wrong *bytes.Buffer) {
	s.t.Helper()
	wrong = new(bytes.Buffer)
	cmd = exec.Command(os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = stdout, wrong
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd, wrong
}

// runWithKills runs a command repeatedly, each time with a kill -9 after a while, until
// it ends by itself or wanted returns false. After every tenth kill it lives longer:
// otherwise it would never end on a busy machine. It returns the number of kills.
func (s *realPair) runWithKills(rnd *rand.Rand, wanted func(run int) bool, args ...string) (kills int) {
	for ; wanted(kills); kills++ {
		var out bytes.Buffer
		cmd, wrong := s.process(&out, append(args, s.serverFlags(kills)...)...)
		life := time.Duration(10+rnd.IntN(250)) * time.Millisecond * time.Duration(1+kills/10)
		killer := time.AfterFunc(life, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		killer.Stop()
		switch {
		case err == nil, out.Len() > 0 && s.ended():
			return kills
		case cmd.ProcessState.ExitCode() >= 0:
			s.t.Errorf("%v: %v, %s", args, err, wrong)
			return kills
		}
	}
	return kills
}

// ended reports whether a publisher that has printed its result has recorded its end.
// Then it was only killed before it could exit.
func (s *realPair) ended() bool {
	_, err := os.Stat(s.path("out.db.running"))
	return errors.Is(err, fs.ErrNotExist)
}

// A publisher and a subscriber that writes to a file are killed again and again, and an
// instance once. The file then has each line once, in order.
func TestKillsOfPublisherAndSubscriber(t *testing.T) {
	s := newRealPair(t)
	into := []string{"subscribe", "--topic", "quakes", "--store", s.path("in.db"), "--out", s.path("lines")}
	published, subscribed := make(chan struct{}), make(chan int)
	readerChance := rand.New(rand.NewPCG(s.rnd.Uint64(), 1))
	go func() {
		subscribed <- s.runWithKills(readerChance, func(int) bool {
			select {
			case <-published:
				return false
			default:
				return true
			}
		}, into...)
	}()
	kills := s.runWithKills(s.rnd, func(run int) bool {
		if run == 4 {
			if err := errors.Join(s.pair[0].Kill(), s.pair[0].Start(t.Context())); err != nil {
				t.Error(err)
			}
		}
		return true
	}, "publish", "--topic", "quakes", "--store", s.path("out.db"), "--file", earthquakes, "--rate", "1500")
	close(published)
	t.Logf("publisher killed %d times, subscriber %d times", kills, <-subscribed)
	want, err := os.ReadFile(earthquakes)
	if err != nil {
		t.Fatal(err)
	}
	written := func() []byte {
		got, _ := os.ReadFile(s.path("lines")) // the file may not exist yet
		return got
	}
	for tries := 0; tries < 10 && len(written()) < len(want); tries++ {
		s.do(into[0], append(append(into[1:], "--until-idle", "1s"), s.serverFlags(1)...)...)
	}
	s.do(into[0], append(append(into[1:], "--until-idle", "1s"), s.serverFlags(1)...)...)
	got, err := os.ReadFile(s.path("lines"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d lines of %d, and differs: %v", bytes.Count(got, []byte("\n")), bytes.Count(want, []byte("\n")), err)
	}
	if kills == 0 {
		t.Error("the publisher was never killed")
	}
}

// batch is the number of lines that a kill may repeat at most.
const batch = 10

// A subscriber that writes to a pipe is killed and resumed on the other instance. No
// line is missing, and each kill repeats one batch at most.
func TestKillsOfAPipeWriter(t *testing.T) {
	s := newRealPair(t)
	s.do("publish", append(s.serverFlags(0), "--topic", "quakes", "--file", earthquakes, "--safe")...)
	text, err := os.ReadFile(earthquakes)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	want[len(want)-1] += "\n"
	at, repeated, kills := 0, 0, 0
	for ; at < len(want); kills++ {
		lines := s.lines(kills, 1+s.rnd.IntN(300))
		if len(lines) == 0 {
			continue
		}
		begin := at
		for begin > 0 && begin > at-batch && lines[0] != want[begin] {
			begin--
		}
		if lines[0] != want[begin] || len(lines) > len(want)-begin {
			t.Fatalf("%d lines after %d: the first is %q", len(lines), at, lines[0])
		}
		for i, l := range lines {
			if l != want[begin+i] {
				t.Fatalf("line %d is %q, want %q", begin+i+1, l, want[begin+i])
			}
		}
		repeated += at - begin
		at = max(at, begin+len(lines))
	}
	t.Logf("killed %d times; %d lines were repeated", kills, repeated)
	if at != len(want) {
		t.Errorf("received %d lines, want %d", at, len(want))
	}
}

// lines runs a subscriber on one of the instances and kills it when it has written kill
// lines. It returns all complete lines that the subscriber has written.
func (s *realPair) lines(instance, kill int) []string {
	s.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	cmd, wrong := s.process(w, "subscribe", "--topic", "quakes", "--store", s.path("in.db"), "--server", s.pair[instance%2].URI(), "--until-idle", "2s", "--batch", fmt.Sprint(batch))
	w.Close()
	var all bytes.Buffer
	piece := make([]byte, 1<<10)
	for bytes.Count(all.Bytes(), []byte("\n")) < kill {
		n, err := r.Read(piece)
		all.Write(piece[:n])
		if err != nil {
			break
		}
	}
	cmd.Process.Kill()
	io.Copy(&all, r)
	if cmd.Wait(); cmd.ProcessState.ExitCode() > 0 {
		s.t.Fatalf("subscribe: %s", wrong)
	}
	lines := strings.SplitAfter(all.String(), "\n")
	return lines[:len(lines)-1] // without the last one, which has no newline
}

// A firstWrite drops its input. It receives a value at the first write.
type firstWrite chan struct{}

func (w firstWrite) Write(b []byte) (int, error) {
	select {
	case w <- struct{}{}:
	default:
	}
	return len(b), nil
}

// A run that is interrupted ends cleanly, and the same command continues it.
func TestInterrupt(t *testing.T) {
	s := newRealPair(t)
	args := append(s.serverFlags(0), "--topic", "quakes", "--store", s.path("out.db"), "--file", earthquakes)
	cmd, wrong := s.process(io.Discard, append([]string{"publish", "--rate", "100"}, args...)...)
	in := append([]string{"subscribe", "--topic", "quakes", "--from", "epoch"}, s.serverFlags(1)...)
	s.do(in[0], append(in[1:], "--count", "1")...)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Skip("no signals here")
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(wrong.String(), "the same command continues after it") {
		t.Errorf("exit code %d, %s", cmd.ProcessState.ExitCode(), wrong)
	}
	seen := make(firstWrite, 1)
	reader, wrong := s.process(seen, in...)
	s.do("publish", args...)
	if got := s.do(in[0], append(in[1:], "--count", "1707")...); strings.Count(got, "\n") != 1707 {
		t.Errorf("%d lines came out", strings.Count(got, "\n"))
	}
	<-seen // before, the process may not handle signals yet
	if err := reader.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := reader.Wait(); err != nil || wrong.Len() > 0 {
		t.Errorf("a subscriber that was interrupted: %v, %s", err, wrong)
	}
	if left, err := filepath.Glob(s.path("*unfinished")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
