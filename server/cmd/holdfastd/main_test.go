package main_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// daemon is the path of the command under test, built once.
var daemon string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfastd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	daemon = filepath.Join(dir, "holdfastd")
	if runtime.GOOS == "windows" {
		daemon += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", daemon, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A process is a running daemon.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr *output
	lines  *bufio.Reader // standard output
	addr   string
}

// An output collects the output of a process, even while the process runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer  // guarded by mu
	seen chan struct{} // guarded by mu; closed and replaced by each write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen != nil {
		close(o.seen)
		o.seen = nil
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the output contains text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		o.mu.Lock()
		found := bytes.Contains(o.text.Bytes(), []byte(text))
		if o.seen == nil {
			o.seen = make(chan struct{})
		}
		more := o.seen
		o.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no %q in the log:\n%s", text, o)
		}
	}
}

// patience is the limit for one step of a process; only a hang takes that long.
const patience = 30 * time.Second

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(daemon, args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, stderr: new(output)}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	t.Cleanup(func() {
		hang.Stop()
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	return p
}

// awaitReady reads the two lines of standard output.
func (p *process) awaitReady() {
	p.t.Helper()
	listening, ready := p.line(), p.line()
	for field := range strings.FieldsSeq(listening) {
		if addr, is := strings.CutPrefix(field, "clients="); is {
			p.addr = addr
		}
	}
	if !strings.HasPrefix(listening, "listening name=") || !strings.HasPrefix(ready, "ready ") || p.addr == "" {
		p.t.Fatalf("said %q and %q", listening, ready)
	}
}

func (p *process) line() string {
	p.t.Helper()
	line, err := p.lines.ReadString('\n')
	if err != nil {
		p.cmd.Wait()
		p.t.Fatalf("standard output: %v; log:\n%s", err, p.stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

// exit waits for the end of the process and returns the exit code. It checks that no more lines
// come on standard output.
func (p *process) exit() int {
	p.t.Helper()
	rest, _ := io.ReadAll(p.lines)
	if len(rest) > 0 {
		p.t.Errorf("a third line on standard output: %q", rest)
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// A client is a connection that sends raw frames.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *wire.Reader
}

func connect(t *testing.T, addr, name string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{t, conn, wire.NewReader(conn, 1<<20)}
	c.send(fmt.Sprintf(`{"c":"logon","cid":"0","client_name":%q,"a":"processed"}`, name))
	if m := c.next(); string(m.Status) != "success" {
		t.Fatalf("logon: %s %s", m.Status, m.Reason)
	}
	return c
}

func (c *client) send(frame string) {
	c.t.Helper()
	if _, err := c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() *wire.Message {
	c.t.Helper()
	frame, err := c.r.Next()
	var m wire.Message
	if err == nil {
		err = wire.Parse(frame, &m)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return &m
}

// publish publishes messages and waits until all are persisted.
func (c *client) publish(from, to uint64) {
	c.t.Helper()
	for s := from; s <= to; s++ {
		c.send(fmt.Sprintf(`{"c":"p","t":"orders","a":"persisted","s":%d}message %d`, s, s))
	}
	for c.next().Sequence < to {
	}
}

// replay reads n messages from EPOCH and checks them.
func (c *client) replay(n uint64) {
	c.t.Helper()
	c.send(`{"c":"subscribe","cid":"1","t":"orders","bm":"0","a":"processed"}`)
	c.next()
	for s := uint64(1); s <= n; s++ {
		if m := c.next(); string(m.Body) != fmt.Sprintf("message %d", s) {
			c.t.Fatalf("message %d is %q", s, m.Body)
		}
	}
}

func write(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const lone = "name: a\ndata: journal\nclients: {listen: \"127.0.0.1:0\"}\n"

func TestKillAndStop(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	file := write(t, t.TempDir(), lone)
	p := start(t, "-config", file)
	p.awaitReady()
	connect(t, p.addr, "pubber").publish(1, 500)

	locked := start(t, "-config", file)
	if code := locked.exit(); code != 1 || !strings.Contains(locked.stderr.String(), "is another holdfastd using this data directory?") {
		t.Errorf("second process in the directory: exit %d, log:\n%s", code, locked.stderr)
	}

	p.signal(syscall.SIGKILL)
	p.exit()
	write(t, filepath.Dir(file), lone+"logging: {format: json}\n")
	p = start(t, "-config", file)
	p.awaitReady()
	connect(t, p.addr, "sub").replay(500)
	connect(t, p.addr, "pubber").publish(501, 600)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("SIGTERM: exit %d, log:\n%s", code, p.stderr)
	}
	if !strings.Contains(p.stderr.String(), `"msg":"`) {
		t.Errorf("the log is no JSON:\n%s", p.stderr)
	}
	p = start(t, "-config", file)
	p.awaitReady()
	connect(t, p.addr, "sub").replay(600)
}

// With more clients than file descriptors, those above the limit are turned away, and the journal
// can still open its next segments.
func TestFewDescriptors(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no bound on file descriptors there")
	}
	file := write(t, t.TempDir(), lone+"log: {segment: 64KiB}\n")
	p := startCommand(t, exec.Command("sh", "-c", `ulimit -n 100; exec "$@"`, "sh", daemon, "-config", file))
	p.awaitReady()
	pub := connect(t, p.addr, "pubber")
	var conns []net.Conn
	turnedAway := 0
	for range 150 {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	pub.publish(1, 5000)
	for _, conn := range conns[75:] {
		conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		turnedAway++
	}
	if turnedAway != 75 {
		t.Errorf("%d of the last 75 connections were turned away", turnedAway)
	}
	for _, conn := range conns {
		conn.Close()
	}
	pub.publish(5001, 5100)
	if log := p.stderr.String(); strings.Contains(log, "too many open files") {
		t.Errorf("out of descriptors:\n%s", log)
	}
}

func TestExitCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := strings.Replace(lone, "127.0.0.1:0", taken.Addr().String(), 1)
	for _, tt := range []struct {
		name   string
		config string
		args   []string
		code   int
		says   string
	}{
		{"no arguments", "", []string{}, 78, "-config is missing"},
		{"unknown flag", "", []string{"-nonsense"}, 78, "nonsense"},
		{"bad log", lone + "logging: {format: xml}\n", nil, 78, `logging.format is "xml": it must be text or json`},
		{"no file", "", []string{"-config", "/nonexistent.yaml"}, 78, "/nonexistent.yaml"},
		{"unknown key", lone + "colour: red\n", nil, 78, `a.yaml:4: unknown field "colour"`},
		{"bad value", lone + "max_message: lots\n", nil, 78, `a.yaml:4: max_message "lots" is not a size`},
		{"port in use", busy, nil, 1, "address already in use (another process listens there)"},
		{"data is a file", strings.Replace(lone, "data: journal", "data: a.yaml", 1), nil, 78, "a.yaml is not a directory"},
		{"data below a file", strings.Replace(lone, "data: journal", "data: a.yaml/journal", 1), nil, 78, "a.yaml is not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.code == 1 {
				t.Skip("the text is another one there")
			}
			args := tt.args
			if args == nil {
				args = []string{"-config", write(t, t.TempDir(), tt.config)}
			}
			p := start(t, args...)
			if code := p.exit(); code != tt.code || !strings.Contains(p.stderr.String(), tt.says) {
				t.Errorf("exit %d, want %d; said:\n%s\nwant %q", code, tt.code, p.stderr, tt.says)
			}
		})
	}
}

// A journal of a newer holdfastd ends an older one with its own exit code and is not changed.
func TestNewerJournal(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, lone)
	p := start(t, "-config", file)
	p.awaitReady()
	c := connect(t, p.addr, "pubber")
	c.publish(1, 3)
	p.cmd.Process.Kill()
	p.cmd.Wait()
	segment := filepath.Join(dir, "journal", "0000000000000000.log")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b = newer.Segment(b)
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, "-config", file, "-accept-damage")
	if code := p.exit(); code != 5 || !strings.Contains(p.stderr.String(), "written by a newer holdfastd") {
		t.Errorf("exit %d, want 5; said:\n%s", code, p.stderr)
	}
	if after, err := os.ReadFile(segment); err != nil || !bytes.Equal(after, b) {
		t.Errorf("the journal was changed: %v", err)
	}
	p = start(t, "-help")
	if code := p.exit(); code != 0 || !strings.Contains(p.stderr.String(), "5 journal written by a newer holdfastd") {
		t.Errorf("help: exit %d, said:\n%s", code, p.stderr)
	}
}

// The file of a link secret is made once, for its owner only.
func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "link.key")
	if said, err := exec.Command(daemon, "secret", file).CombinedOutput(); err != nil || len(said) > 0 {
		t.Fatalf("%v: %s", err, said)
	}
	text, err := os.ReadFile(file)
	if info, _ := os.Stat(file); err != nil || len(text) != 65 || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%q, %v", text, err)
	}
	if said, err := exec.Command(daemon, "secret", file).CombinedOutput(); err == nil || !strings.Contains(string(said), "exists") {
		t.Errorf("overwritten: %v: %s", err, said)
	}
}

// After a first signal the process waits for outstanding acks; after a second one it does not.
func TestSecondSignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	file := write(t, t.TempDir(), "group: g\nreplication: {listen: \"127.0.0.1:0\", destinations: [{name: b, topics: [x]}]}\n"+
		"rejoin_timeout: 10ms\ndrain_timeout: 1h\n"+lone)
	p := start(t, "-config", file, "-bootstrap")
	p.awaitReady()
	c := connect(t, p.addr, "pubber")
	c.send(`{"c":"p","t":"x","a":"persisted","s":1}x`)
	c.send(`{"c":"flush","cid":"1","a":"completed"}`)
	c.next()
	p.signal(syscall.SIGTERM)
	p.stderr.await(t, "the instance stops once its outstanding acks are sent")
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 1 {
		t.Errorf("exit %d, want 1; log:\n%s", code, p.stderr)
	}
}

// No command takes a flag for the name of a file or an instance, and each says which argument is missing.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, lone)
	for _, tt := range []struct {
		args, want string
		code       int
	}{
		{"secret --help", "Usage: holdfastd -config", 0},
		{"secret -x", "not defined: -x", 78},
		{"secret a.key --force", "not defined: -force", 78},
		{"secret", "secret takes one FILE", 78},
		{"secret a.key b.key", "secret takes one FILE", 78},
		{"help", "Usage: holdfastd -config", 0},
		{"help user", "Usage: holdfastd -config", 0},
		{"lost help -config", "needs an argument: -config", 78},
		{"lost -config " + file + " b -end", "-end takes no names", 78},
		{"lost -config " + file + " b --all", "not defined: -all", 78},
		{"user list -users --help", "followed by the flag", 78},
	} {
		cmd := exec.Command(daemon, strings.Fields(tt.args)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", tt.args, code, tt.code, tt.want, out)
		}
	}
	if made, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(made) != 1 {
		t.Errorf("files %q, %v", made, err)
	}
}

// Level and format of the log change with the configuration file, and so does nothing else of it.
func TestLoggingReloads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	dir := t.TempDir()
	file := write(t, dir, lone)
	p := start(t, "-config", file)
	p.awaitReady()
	connect(t, p.addr, "first").publish(1, 1)
	awaitLog := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !strings.Contains(p.stderr.String(), text); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not logged:\n%s", text, p.stderr)
			}
		}
	}
	awaitLog(`msg="client logged on" instance=a`)
	write(t, dir, lone+"max_message: 1MiB\nlogging: {level: debug, format: json}\n")
	p.signal(syscall.SIGHUP)
	awaitLog("counts at the next start of the instance")
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	awaitLog(`"level":"DEBUG","msg":"a connection without a logon has ended"`)
	if !strings.Contains(p.stderr.String(), `"msg":"the log level has changed","instance":"a","before":"INFO","log_level":"DEBUG"`) {
		t.Errorf("the change is not logged:\n%s", p.stderr)
	}
	write(t, dir, lone+"logging: {level: loud}\n")
	p.signal(syscall.SIGHUP)
	awaitLog("logging.level is")
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 || !strings.Contains(p.stderr.String(), "the instance has stopped: every ack was sent") {
		t.Errorf("exit %d, log:\n%s", code, p.stderr)
	}
}
