package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	sdk "github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
)

// A devRun is a run of holdfastd dev.
type devRun struct {
	*testing.T
	cmd            *exec.Cmd
	tmp            string // the system's directory for temporary files
	in             io.WriteCloser
	stdout, stderr *output
}

func startDev(t *testing.T, args ...string) *devRun {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	r := &devRun{T: t, cmd: exec.Command(daemon, append([]string{"dev"}, args...)...), tmp: t.TempDir(), stdout: new(output), stderr: new(output)}
	r.cmd.Env = append(os.Environ(), "TMPDIR="+r.tmp)
	r.cmd.Stdout, r.cmd.Stderr = r.stdout, r.stderr
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Kill()
			r.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("standard output:\n%s\nlog:\n%s", r.stdout, r.stderr)
		}
	})
	return r
}

// exported waits for the lines to paste, and sets the variables that they export.
func (r *devRun) exported() {
	r.Helper()
	r.stdout.await(r.T, "Ctrl-C")
	line := regexp.MustCompile(`(?m)^export (.+)$`).FindStringSubmatch(r.stdout.String())
	if line == nil {
		r.Fatal("no variables to export")
	}
	for word := range strings.FieldsSeq(line[1]) {
		name, value, _ := strings.Cut(word, "=")
		r.Setenv(name, os.ExpandEnv(value))
	}
}

// types sends a line to standard input, and awaits an answer.
func (r *devRun) types(line, answer string) {
	r.Helper()
	if _, err := io.WriteString(r.in, line+"\n"); err != nil {
		r.Fatal(err)
	}
	r.stdout.await(r.T, answer)
}

// wantEnd sends a signal and checks the exit code, and the number of files that stay.
func (r *devRun) wantEnd(signal os.Signal, code, left int) {
	r.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.Fatal(err)
	}
	r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.Errorf("exit %d, want %d", got, code)
	}
	files, err := os.ReadDir(r.tmp)
	if err != nil || len(files) != left {
		r.Errorf("%d entries in the directory for temporary files (%v), want %d", len(files), err, left)
	}
}

// publishes publishes messages and waits until both instances have them.
func (r *devRun) publishes(c *sdk.Client, from, to int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	for n := from; n <= to; n++ {
		if _, err := c.Publish(ctx, "orders", fmt.Append(nil, n)); err != nil {
			r.Fatal(err)
		}
	}
	if err := c.Flush(ctx); err != nil {
		r.Fatal(err)
	}
}

// dials connects a client that is configured by the environment alone.
func (r *devRun) dials(hooks sdk.Hooks) *sdk.Client {
	r.Helper()
	cfg, err := sdk.ConfigFromEnv()
	if err != nil {
		r.Fatal(err)
	}
	cfg.Hooks = hooks
	c, err := sdk.Dial(r.Context(), cfg)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	return c
}

// A newcomer starts a pair, publishes with the printed variables, kills an instance and starts it
// again. Nothing is left at the end.
func TestDevFailover(t *testing.T) {
	for _, args := range [][]string{{"-pair"}, {"--pair", "--users", "--tls"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := startDev(t, args...)
			r.exported()
			status := regexp.MustCompile(`(?m)^holdfast (status .+)$`).FindStringSubmatch(r.stdout.String())
			if status == nil {
				t.Fatal("no line for the status")
			}
			if said, err := exec.Command(statusCommand(t), strings.Fields(status[1])...).CombinedOutput(); err != nil || !strings.Contains(string(said), "all is well") {
				t.Errorf("%s: %v\n%s", status[0], err, said)
			}
			moved := make(chan string, 8)
			c := r.dials(sdk.Hooks{Connected: func(s sdk.ServerInfo) { moved <- s.Instance }})
			if at := <-moved; at != "a" {
				t.Errorf("first at %s", at)
			}
			r.publishes(c, 1, 10)
			r.types("kill a", "a is killed")
			r.publishes(c, 11, 20)
			if at := <-moved; at != "b" {
				t.Errorf("after the kill at %s", at)
			}
			r.types("kill a", "a does not run")
			r.types("start a", "a serves clients")
			r.types("start a", "a runs already")
			r.types("restart", "Type 'kill a'")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := c.FlushSafe(ctx); err != nil {
				t.Errorf("not on both: %v", err)
			}
			sub, err := c.Subscribe(ctx, "orders", sdk.From(sdk.Epoch))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for m, err := range sub.Messages(ctx) {
				if n++; err != nil || string(m.Body) != fmt.Sprint(n) {
					t.Fatalf("got %s (%v), want %d", m.Body, err, n)
				}
				if n == 20 {
					break
				}
			}
			c.Close()
			r.wantEnd(syscall.SIGTERM, 0, 0)
			if log := r.stderr.String(); strings.Contains(log, "instance=a level=ERROR") || strings.Contains(log, "journal is closed") {
				t.Errorf("a killed instance has logged:\n%s", log)
			}
		})
	}
}

// Without users every client of the machine may log on; with them one without the password may not.
// The password is in a file, and not in the output.
func TestDevUsers(t *testing.T) {
	r := startDev(t, "-users")
	r.exported()
	c := r.dials(sdk.Hooks{})
	r.publishes(c, 1, 1)
	password, err := os.ReadFile(os.Getenv("HOLDFAST_PASSWORD_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	if said := r.stdout.String() + r.stderr.String(); strings.Contains(said, strings.TrimSpace(string(password))) {
		t.Error("the output has the password")
	}
	t.Setenv("HOLDFAST_USER", "")
	t.Setenv("HOLDFAST_PASSWORD_FILE", "")
	cfg, err := sdk.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	refused := make(chan error, 8)
	cfg.Hooks.Disconnected = func(_ string, err error) {
		refused <- err
		cancel()
	}
	if _, err := sdk.Dial(ctx, cfg); err == nil {
		t.Error("a client without credentials is connected")
	} else if err := <-refused; !strings.Contains(err.Error(), "auth failure") {
		t.Error(err)
	}
	r.wantEnd(os.Interrupt, 0, 0)
}

// A kept directory has a configuration with which the instance can be run on its own.
func TestDevKeep(t *testing.T) {
	r := startDev(t, "-keep")
	r.in.Close() // as with </dev/null: it keeps running
	r.stdout.await(t, "at /metrics")
	page := regexp.MustCompile(`browser: (http://\S+/)\.`).FindStringSubmatch(r.stdout.String())
	for path, want := range map[string]string{"": "<!DOCTYPE html>", "metrics": "holdfast_ready 1"} {
		if text := get(t, page[1]+path); !strings.Contains(text, want) {
			t.Errorf("%s%s has no %s:\n%s", page[1], path, want, text)
		}
	}
	servers := regexp.MustCompile(`HOLDFAST_SERVERS=(\S+)`).FindStringSubmatch(r.stdout.String())
	t.Setenv("HOLDFAST_SERVERS", servers[1])
	c := r.dials(sdk.Hooks{})
	r.publishes(c, 1, 3)
	c.Close()
	r.wantEnd(syscall.SIGHUP, 0, 1)
	configs, err := filepath.Glob(filepath.Join(r.tmp, "*", "a.yaml"))
	if err != nil || len(configs) != 1 || !strings.Contains(r.stdout.String(), filepath.Dir(configs[0])) {
		t.Fatalf("%v, %v", configs, err)
	}
	p := start(t, "-config", configs[0])
	p.awaitReady()
	c = r.dials(sdk.Hooks{})
	sub, err := c.Subscribe(t.Context(), "orders", sdk.From(sdk.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m, err := range sub.Messages(t.Context()) {
		if n++; err != nil || string(m.Body) != fmt.Sprint(n) {
			t.Fatalf("got %s (%v), want %d", m.Body, err, n)
		}
		if n == 3 {
			break
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Mistakes end it, and leave nothing behind.
func TestDevMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"-help"}, 0, "It is not for production"},
		{[]string{"-port", "65531"}, 78, "-port is 65531: it must be from 1 to 65530"},
		{[]string{"-port", "-1"}, 78, "it must be from 1"},
		{[]string{"now"}, 78, `unexpected argument "now"`},
		{[]string{"-nonsense"}, 78, "nonsense"},
		{[]string{"-port", port}, 1, taken.Addr().String()},
	} {
		if _, number, _ := strings.Cut(strings.Join(tt.args, " "), "-port "); tt.code == 1 && len(number) == 5 && number > "65530" {
			continue
		}
		r := startDev(t, tt.args...)
		r.cmd.Wait()
		if code := r.cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(r.stderr.String(), tt.says) {
			t.Errorf("%v: exit %d, want %d and %q", tt.args, code, tt.code, tt.says)
		}
		if files, err := os.ReadDir(r.tmp); err != nil || len(files) > 0 {
			t.Errorf("%v: %v, %v", tt.args, files, err)
		}
	}
}

// In the background of a terminal it runs on: it takes no commands from there.
func TestDevInBackground(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	tmp, pid := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	terminal := tmux.Start(t, `set -m; TMPDIR="$1" "$0" dev & echo $! >"$2"; wait $!; echo "exit $?"`, daemon, tmp, pid)
	terminal.Await("Ctrl-C")
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(n)
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out := terminal.Check(); !strings.Contains(out, "exit 0") {
		t.Errorf("the screen is\n%s", out)
	}
}
