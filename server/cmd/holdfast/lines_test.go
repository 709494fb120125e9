package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A shell runs commands for a test, with servers and a directory.
type shell struct {
	t       *testing.T
	dir     string
	servers []string // the --server flags
}

func newShell(t *testing.T, addresses ...string) *shell {
	s := &shell{t: t, dir: t.TempDir()}
	for _, a := range addresses {
		s.servers = append(s.servers, "--server", uri(a))
	}
	return s
}

func uri(address string) string { return "tcp://" + address + "/amps/json" }

func (s *shell) path(name string) string { return filepath.Join(s.dir, name) }

// write makes a file and returns its path.
func (s *shell) write(name, content string) string {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.path(name)
}

// try runs a command with the servers.
func (s *shell) try(command string, args ...string) (code int, out, wrong string) {
	var o, e bytes.Buffer
	code = run(append(append([]string{command}, s.servers...), args...), &o, &e)
	return code, o.String(), e.String()
}

// do runs a command that must end with exit code 0, and returns its output.
func (s *shell) do(command string, args ...string) string {
	s.t.Helper()
	code, out, wrong := s.try(command, args...)
	if code != exitOK {
		s.t.Fatalf("%s %v: exit code %d, %s%s", command, args, code, out, wrong)
	}
	return out
}

// expect runs a command that must end with an exit code and print some words on standard
// error.
func (s *shell) expect(code int, words, command string, args ...string) (out string) {
	s.t.Helper()
	got, out, wrong := s.try(command, args...)
	if got != code || !strings.Contains(wrong, words) {
		s.t.Errorf("%s %v: exit code %d, want %d; %q, want %q in it", command, args, got, code, wrong, words)
	}
	return out
}

// read returns the output of subscribe for the n messages of a topic.
func (s *shell) read(topic string, n int, args ...string) string {
	s.t.Helper()
	return s.do("subscribe", append([]string{"--topic", topic, "--from", "epoch", "--count", fmt.Sprint(n), "--timeout", "20s", "--until-idle", "5s"}, args...)...)
}

func startLone(t *testing.T, change func(*server.Config)) *servertest.Instance {
	t.Helper()
	if change == nil {
		change = func(*server.Config) {}
	}
	return servertest.New(t, servertest.Real(), servertest.Config(change))
}

// subscribe prints the lines exactly as publish read them.
func TestLinesAreUnchanged(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	in := s.write("in", "one\n\nthree\r\n{\"n\": 4}\nl\xffast")
	for i, args := range [][]string{nil, {"--store", s.path("out.db")}, {"--rate", "10000"}} {
		topic := fmt.Sprint("lines", i)
		got := s.do("publish", append(args, "--topic", topic, "--file", in)...)
		if got != "5 lines published; safe on every server\n" {
			t.Errorf("publish says %q", got)
		}
		if got := s.read(topic, 5); got != "one\n\nthree\r\n{\"n\": 4}\nl\xffast\n" {
			t.Errorf("%v: %q came out", args, got)
		}
	}
	s.do("publish", "--topic", "whole", "--whole", "--file", in)
	if got := s.read("whole", 1); got != "one\n\nthree\r\n{\"n\": 4}\nl\xffast\n" {
		t.Errorf("whole: %q came out", got)
	}
	var seen []delivery
	for text := range strings.Lines(s.read("lines0", 5, "--json")) {
		var d delivery
		if err := json.Unmarshal([]byte(text), &d); err != nil || d.Topic != "lines0" || d.Sequence != uint64(len(seen)+1) || d.Time == "" {
			t.Fatalf("%s: %+v, %v", text, d, err)
		}
		seen = append(seen, d)
	}
	if *seen[0].Body != "one" || *seen[1].Body != "" || *seen[2].Body != "three\r" || string(seen[3].JSON) != `{"n":4}` || string(seen[4].Base64) != "l\xffast" {
		t.Errorf("as JSON %+v", seen)
	}
	after := s.do("subscribe", "--topic", "lines0", "--count", "1", "--from", seen[3].Bookmark)
	if after != "l\xffast\n" {
		t.Errorf("after the fourth: %q", after)
	}
	since := s.do("subscribe", "--topic", "lines0", "--count", "5", "--from", "2001-01-01T00:00:00Z")
	if since != "one\n\nthree\r\n{\"n\": 4}\nl\xffast\n" {
		t.Errorf("since a time: %q", since)
	}
}

// publish sends a line at once, without waiting for the next one.
func TestSlowInput(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	for _, store := range []string{"", s.path("out.db")} {
		r, w := io.Pipe()
		c := &publishCommand{connectionFlags: connectionFlags{Server: []string{s.servers[1]}}, Topic: "slow" + filepath.Base(store), Store: store}
		ctx, end := context.WithCancelCause(t.Context())
		var out, wrong bytes.Buffer
		o := &output{&out, &wrong}
		p, err := c.newRun(end, o, &input{name: "pipe", r: r})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- c.report(ctx, o, p, p.run(ctx)) }()
		for i := range 3 {
			fmt.Fprintln(w, i)
			s.read(c.Topic, i+1)
		}
		w.Close()
		if err := <-done; err != nil || !strings.HasPrefix(out.String(), "3 lines published") {
			t.Errorf("%v, %q %q", err, out.String(), wrong.String())
		}
	}
}

// publishAndInterrupt publishes lines and stops, as an interrupt would, once the servers have them
// and before the input has ended.
func (s *shell) publishAndInterrupt(store, topic, lines string) {
	s.t.Helper()
	r, w := io.Pipe()
	c := &publishCommand{connectionFlags: connectionFlags{Server: []string{s.servers[1]}, Timeout: 20 * time.Second}, Topic: topic, Store: store}
	ctx, end := context.WithCancelCause(s.t.Context())
	o := &output{io.Discard, io.Discard}
	p, err := c.newRun(end, o, &input{name: "pipe", r: r})
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- c.report(ctx, o, p, p.run(ctx)) }()
	io.WriteString(w, lines)
	want := int64(strings.Count(lines, "\n"))
	for tick := time.NewTicker(time.Millisecond); p.stored().Lines < want || p.store.Usage().Messages > 0; {
		<-tick.C
	}
	end(errInterrupted)
	if err := <-done; !errors.Is(err, errInterrupted) || !strings.Contains(err.Error(), fmt.Sprintf("all lines up to line %d are", want)) {
		s.t.Errorf("interrupted: %v", err)
	}
	w.Close()
}

// The same command continues an interrupted run. Another input or topic is refused.
func TestContinuePublish(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	store := s.path("out.db")
	s.publishAndInterrupt(store, "t", "1\n2\n3\n")
	in, short, other := s.write("in", "1\n2\n3\n4\n5"), s.write("short", "1\n2\n"), s.write("other", "1\n2\n4\n4\n5")
	for file, words := range map[string]string{short: "it ends after 4 bytes, but 6 were published", other: "its first 3 lines have changed"} {
		s.expect(exitUsage, words, "publish", "--topic", "t", "--store", store, "--file", file)
	}
	var found bytes.Buffer
	if run([]string{"store", "inspect", store}, &found, &found); !strings.Contains(found.String(), "has read pipe up to line 3, to topic t: the same") {
		t.Errorf("store inspect says %s", found.String())
	}
	s.expect(exitUsage, `was to topic "t" and has not completed`, "publish", "--topic", "u", "--store", store, "--file", in)
	s.expect(exitUsage, `without --whole`, "publish", "--topic", "t", "--store", store, "--file", in, "--whole")
	if got := s.do("publish", "--topic", "t", "--store", store, "--file", in); got != "5 lines published, 3 of them by earlier runs; safe on every server\n" {
		t.Errorf("the continued run prints %q", got)
	}
	if got := s.read("t", 5); got != "1\n2\n3\n4\n5\n" {
		t.Errorf("%q came out", got)
	}
	// That run has ended: the next one is a new publication.
	s.do("publish", "--topic", "u", "--store", store, "--file", other)
	s.read("u", 5)
	var result publishResult
	decoder := json.NewDecoder(strings.NewReader(s.do("publish", "--topic", "w", "--store", store, "--file", in, "--json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&result); err != nil || !result.Complete || result.Lines != 5 || result.Before != 0 || result.Bytes != 9 || result.Store != store {
		t.Errorf("as JSON %+v, %v", result, err)
	}
	// --restart gives up an interrupted run.
	s.publishAndInterrupt(store, "v", "1\n2\n3\n")
	s.do("publish", "--topic", "v", "--store", store, "--file", other, "--restart")
	if got := s.read("v", 8); got != "1\n2\n3\n1\n2\n4\n4\n5\n" {
		t.Errorf("restarted: %q came out", got)
	}
}

// publish sends the messages that an application has left in its store, under the
// application's client name.
func TestStoreOfAnApplication(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	store, err := pubstore.OpenBolt(s.path("app.db"), pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Logon("app"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Append(t.Context(), &pubstore.Message{Topic: "t", Body: []byte("left")}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	s.do("publish", "--topic", "t", "--store", s.path("app.db"), "--file", s.write("in", "new\n"))
	if got := s.read("t", 2); got != "left\nnew\n" {
		t.Errorf("%q came out", got)
	}
	if store, err = pubstore.OpenBolt(s.path("app.db"), pubstore.BoltOptions{}); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Logon("app"); err != nil {
		t.Errorf("the application again: %v", err)
	}
}

// A run does not continue an input that has grown if its last line had no newline.
func TestGrownInput(t *testing.T) {
	f := func(text string, from extent) (lines []line, err error) {
		f := newLineReader(&input{name: "in", r: strings.NewReader(text)}, false, 100, 0)
		go f.run(t.Context(), from)
		for batch := range f.batches {
			lines = append(lines, batch...)
		}
		return lines, f.err
	}
	all, err := f("1\n2", extent{})
	if err != io.EOF || len(all) != 2 {
		t.Fatal(all, err)
	}
	if rest, err := f("1\n2", all[1].at); err != io.EOF || len(rest) != 0 {
		t.Errorf("the same: %v, %v", rest, err)
	}
	if rest, err := f("1\n2", all[0].at); err != io.EOF || len(rest) != 1 || rest[0].at != all[1].at {
		t.Errorf("the second: %v, %v", rest, err)
	}
	if _, err := f("1\n23\n", all[1].at); err == nil || !strings.Contains(err.Error(), "it ended with line 2 and now has more") {
		t.Errorf("grown: %v", err)
	}
}

// A read error ends the run, and no part of the unfinished line is published.
func TestBrokenInput(t *testing.T) {
	broken := errors.New("no such device")
	f := newLineReader(&input{name: "in", r: io.MultiReader(strings.NewReader("1\nha"), errReader{broken})}, false, 100, 0)
	go f.run(t.Context(), extent{})
	var lines []line
	for batch := range f.batches {
		lines = append(lines, batch...)
	}
	if len(lines) != 1 || !errors.Is(f.err, broken) {
		t.Errorf("%v, %v", lines, f.err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A line that is too long stops the run before that line. Once it is shortened, the same
// command continues.
func TestLongLine(t *testing.T) {
	s := newShell(t, startLone(t, func(c *server.Config) { c.MaxMessage = 4096 }).Addr())
	for _, args := range [][]string{{"--topic", "kept", "--store", s.path("out.db")}, {"--topic", "memory"}} {
		long := s.write("in", "1\n"+strings.Repeat("x", 4096)+"\n3\n")
		s.expect(exitFault, "line 2: publish: message of", "publish", append(args, "--file", long)...)
		if got := s.read(args[1], 1); got != "1\n" {
			t.Errorf("%q came out", got)
		}
		if len(args) > 2 {
			s.do("publish", append(args, "--file", s.write("in", "1\n2\n3\n"))...)
			if got := s.read(args[1], 3); got != "1\n2\n3\n" {
				t.Errorf("%q came out", got)
			}
		}
	}
	f := newLineReader(&input{name: "in", r: strings.NewReader("1\n" + strings.Repeat("x", 100<<10))}, false, 99<<10, 0)
	go f.run(t.Context(), extent{})
	for range f.batches {
	}
	if f.err == nil || !strings.Contains(f.err.Error(), "in: line 2 has more than 101376 bytes") {
		t.Errorf("longer than any store takes: %v", f.err)
	}
}

// Rejected lines are reported with their numbers.
func TestRejectedLines(t *testing.T) {
	s := newShell(t, startLone(t, func(c *server.Config) { c.Log.Topics = []string{"logged"} }).Addr())
	in := s.write("in", strings.Repeat("x\n", 12))
	for _, args := range [][]string{{}, {"--store", s.path("out.db")}} {
		code, out, wrong := s.try("publish", append(args, "--topic", "unlogged", "--file", in)...)
		if code != exitFault || out != "0 of 12 lines published, 12 rejected\n" ||
			!strings.Contains(wrong, "holdfast: line 1 was rejected by the servers: ") || strings.Count(wrong, "rejected") != maxRejectionsShown {
			t.Errorf("exit code %d, %s%s", code, out, wrong)
		}
	}
}

// While one server is away, lines are on one disk only. publish reports that, and the
// store keeps them.
func TestOneDisk(t *testing.T) {
	pair := servertest.NewPair(t, servertest.Real(), servertest.Config(func(c *server.Config) {
		c.Replication.Destinations[0].DowngradeAfter = server.Duration(50 * time.Millisecond)
		c.RejoinTimeout = server.Duration(100 * time.Millisecond)
	}))
	s := newShell(t, pair.Addrs()...)
	in := s.write("in", "1\n2\n")
	pair.B.Close()
	args := []string{"--topic", "t", "--store", s.path("out.db"), "--timeout", "20s"}
	if got := s.do("publish", append(args, "--file", in)...); !strings.HasPrefix(got, "2 lines published; 2 on one server's disk only: ") {
		t.Errorf("one server: %q", got)
	}
	pair.B.Restart()
	pair.B.AwaitReady()
	if got := s.do("publish", append(args, "--file", os.DevNull, "--safe")...); got != "0 lines published; safe on every server\n" {
		t.Errorf("both again: %q", got)
	}
	pair.A.Close()
	if got := s.read("t", 2); got != "1\n2\n" {
		t.Errorf("%q came out of the other", got)
	}
}

// A run that is killed at its very end publishes nothing twice when it is repeated.
func TestKilledAtTheEnd(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	args := []string{"--topic", "t", "--store", s.path("out.db"), "--file", s.write("in", "1\n2\n")}
	s.do("publish", args...)
	s.write("out.db.running", "") // as the file is until the last moment
	if got := s.do("publish", args...); got != "2 lines published, 2 of them by earlier runs; safe on every server\n" {
		t.Errorf("again: %q", got)
	}
	if _, err := os.Stat(s.path("out.db.running")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the .running file is left: %v", err)
	}
	s.do("publish", args...) // a new publication
	if got := s.read("t", 4); got != "1\n2\n1\n2\n" {
		t.Errorf("%q came out", got)
	}
}

// A store that was restored from a backup does not know how far the input was published.
// publish reports that before it publishes a line twice.
func TestRestoredStore(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	store := s.path("out.db")
	s.publishAndInterrupt(store, "t", "1\n2\n3\n")
	backup, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	s.publishAndInterrupt(store, "t", "1\n2\n3\n4\n")
	s.read("t", 4)
	s.write("out.db", string(backup))
	in := s.write("in", "1\n2\n3\n4\n5\n")
	s.expect(exitFault, "lines after line 3 may already be published", "publish", "--topic", "t", "--store", store, "--file", in)
	s.read("t", 4)
	s.do("publish", "--topic", "t", "--store", store, "--file", in)
	if got := s.read("t", 6); got != "1\n2\n3\n4\n4\n5\n" {
		t.Errorf("continued: %q", got)
	}
}

// A full store takes the lines that have room, and the others when there is room again.
// The extent covers exactly the lines in the store.
func TestFullStore(t *testing.T) {
	s := newShell(t)
	store, _, err := openResumable(s.path("out.db"), pubstore.Message{Topic: "t"}, pubstore.BoltOptions{MaxMessages: 3})
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for i := range int64(5) {
		lines = append(lines, line{[]byte("x"), extent{Lines: i + 1, Bytes: 2 * (i + 1)}})
	}
	if n, last, err := store.storeLines(t.Context(), lines); n != 3 || last != 3 || err != nil || store.stored.Lines != 3 {
		t.Fatal(n, last, err)
	}
	soon, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if n, _, err := store.storeLines(soon, lines[3:]); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(n, err)
	}
	if err := store.Discard(store.Lives()[0].ID, 1); err != nil {
		t.Fatal(err)
	}
	if n, last, err := store.storeLines(t.Context(), lines[3:]); n != 1 || last != 4 || err != nil {
		t.Fatal(n, last, err)
	}
	if err := store.close(); err != nil {
		t.Fatal(err)
	}
	store, _, err = openResumable(s.path("out.db"), pubstore.Message{Topic: "t"}, pubstore.BoltOptions{})
	if err != nil || store.stored.Lines != 4 || store.Usage().Messages != 3 {
		t.Fatal(store, err)
	}
	store.close()
}

// A subscription continues where it ended, on any server, and --count is exact.
func TestContinueSubscribe(t *testing.T) {
	pair := servertest.NewPair(t, servertest.Real())
	s := newShell(t, pair.Addrs()...)
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "%d\n", i)
	}
	s.do("publish", "--safe", "--topic", "t", "--file", s.write("in", lines.String()))
	store := s.path("in.db")
	var got strings.Builder
	for i, n := range []int{1, 2, 300, 256, 200, 241} {
		s.servers = []string{"--server", uri(pair.Addrs()[i%2])}
		got.WriteString(s.do("subscribe", "--topic", "t", "--store", store, "--count", fmt.Sprint(n)))
	}
	if got.String() != lines.String() {
		t.Errorf("%d bytes came out, not %d", got.Len(), lines.Len())
	}
	if got := s.do("subscribe", "--topic", "t", "--store", store, "--until-idle", "50ms"); got != "" {
		t.Errorf("more came out: %q", got)
	}
	s.expect(exitFault, "received 0 messages instead of 2", "subscribe", "--topic", "t", "--store", store, "--until-idle", "50ms", "--count", "2")
	s.expect(exitUsage, `a place of a subscription to topic "t"`, "subscribe", "--topic", "^t$", "--id", "t", "--store", store)
	if got := s.do("subscribe", "--topic", "^t$", "--id", "t", "--store", store, "--restart", "--count", "1"); got != "0\n" {
		t.Errorf("restarted: %q", got)
	}
}

// After a kill the output file is cut to its committed length, and the rest is written
// again.
func TestSubscribeIntoFile(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	s.do("publish", "--topic", "t", "--file", s.write("in", "1\n2\n3\n4\n"))
	file := s.path("lines")
	args := []string{"--topic", "t", "--store", s.path("in.db"), "--out", file}
	s.do("subscribe", append(args, "--count", "2")...)
	has := func(want string) {
		t.Helper()
		if b, err := os.ReadFile(file); err != nil || string(b) != want {
			t.Errorf("the file is %q, %v", b, err)
		}
	}
	has("1\n2\n")
	s.write("lines", "1\n2\n3\n4") // as a kill before the commit would leave it
	s.do("subscribe", append(args, "--count", "1")...)
	has("1\n2\n3\n")
	s.write("lines", "1\n")
	s.expect(exitUsage, "has 2 bytes, but 6 were written", "subscribe", args...)
	s.expect(exitUsage, "is not empty", "subscribe", append(args, "--restart")...)
	s.expect(exitUsage, "is not empty", "subscribe", "--topic", "t", "--id", "x", "--store", s.path("in.db"), "--out", file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.do("subscribe", append(args, "--restart", "--count", "4")...)
	has("1\n2\n3\n4\n")
}

// A reader that closes the pipe ends subscribe without an error. Messages that were not
// written come again.
func TestReaderGone(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	s.do("publish", "--topic", "t", "--file", s.write("in", "1\n2\n"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	var wrong bytes.Buffer
	args := append([]string{"subscribe", "--topic", "t", "--quiet", "--store", s.path("in.db")}, s.servers...)
	if code := run(args, w, &wrong); code != exitOK || wrong.Len() > 0 {
		t.Errorf("exit code %d, %q", code, wrong.String())
	}
	if got := s.do("subscribe", "--topic", "t", "--store", s.path("in.db"), "--count", "2", "--until-idle", "5s"); got != "1\n2\n" {
		t.Errorf("afterwards %q came out", got)
	}
}

func TestSubscribeResult(t *testing.T) {
	r := &subscribeRun{flags: &subscribeCommand{}}
	for _, tt := range []struct {
		err   error
		code  int
		words string
	}{
		{&client.GapError{Subscription: "s", Topic: "t"}, exitFault, "use --accept-gaps to continue after them"},
		{fmt.Errorf("x: %w", client.ErrNotReplicated), exitFault, "wait for the --server that has it, or use --allow-unreplicated"},
		{errInterrupted, exitOK, ""},
	} {
		var wrong bytes.Buffer
		if code := exitCode(r.result(tt.err), &wrong); code != tt.code || !strings.Contains(wrong.String(), tt.words) {
			t.Errorf("%v: exit code %d, %q", tt.err, code, wrong.String())
		}
	}
}

func TestPing(t *testing.T) {
	i := startLone(t, nil)
	var out, wrong bytes.Buffer
	if code := run([]string{"ping", uri(i.Addr()), "--count", "2", "--interval", "1ms"}, &out, &wrong); code != exitOK ||
		strings.Count(out.String(), "round trip") != 2 {
		t.Errorf("exit code %d, %q %q", code, out.String(), wrong.String())
	}
	out.Reset()
	up, down := uri(i.Addr()), "tcp://me:secret@127.0.0.1:1/amps/json"
	if code := run([]string{"ping", "--json", up, down}, &out, &wrong); code != exitFault || strings.Contains(out.String(), "secret") {
		t.Errorf("exit code %d, %q", code, out.String())
	}
	var answers [2]pingResult
	decoder := json.NewDecoder(&out)
	if err := errors.Join(decoder.Decode(&answers[0]), decoder.Decode(&answers[1])); err != nil {
		t.Fatal(err)
	}
	if a := answers[0]; !a.Up || a.Server != up || !a.Extended || a.LogonMS <= 0 || a.RoundMS <= 0 || a.MaxMessage != 16<<20 || a.Sync != client.SyncAlone {
		t.Errorf("the one that is up: %+v", a)
	}
	if a := answers[1]; a.Up || !strings.Contains(a.Error, "nothing listens there") {
		t.Errorf("the one that is not: %+v", a)
	}
}

// publish --header sets headers, and subscribe --headers and --json print them.
func TestHeadersOfLines(t *testing.T) {
	s := newShell(t, startLone(t, nil).Addr())
	in := s.write("in", "one\ntwo\n")
	for i, args := range [][]string{nil, {"--store", s.path("out.db")}} {
		topic := fmt.Sprint("lines", i)
		s.do("publish", append(args, "--topic", topic, "--file", in, "--header", "tenant=eu", "--header", "q=a=b, c")...)
		if got, want := s.read(topic, 2, "--headers"), "{\"headers\":{\"q\":\"a=b, c\",\"tenant\":\"eu\"}}\tone\n{\"headers\":{\"q\":\"a=b, c\",\"tenant\":\"eu\"}}\ttwo\n"; got != want {
			t.Errorf("%v: %q came out", args, got)
		}
		for text := range strings.Lines(s.read(topic, 2, "--json")) {
			var d delivery
			if err := json.Unmarshal([]byte(text), &d); err != nil || d.jsonHeaders.Text["tenant"] != "eu" {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	s.do("publish", "--topic", "none", "--file", in)
	if got := s.read("none", 2, "--headers"); got != "{}\tone\n{}\ttwo\n" {
		t.Errorf("without headers: %q came out", got)
	}
	for flag, words := range map[string]string{"tenant": "is not KEY=VALUE", "=eu": "the key is empty", "a b=c": "not visible ASCII"} {
		s.expect(exitUsage, words, "publish", "--topic", "t", "--file", in, "--header", flag)
	}
	s.expect(exitUsage, "new key", "publish", "--topic", "t", "--file", in, "--header", "a=1", "--header", "a=2")
}
