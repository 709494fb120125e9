package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	sdk "github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A drill runs the procedures of server/DISASTER.md with real processes: instances, a publisher and
// subscribers.
type drill struct {
	*testing.T
	dir       string
	instances map[string]*drillInstance

	mu       sync.Mutex
	lost     []sdk.LostError // guarded by mu
	rollback error           // guarded by mu
	rejected []string        // guarded by mu
}

// A drillInstance is an instance of a drill.
type drillInstance struct {
	clients, admin, link string
	config               string
	process              *process // nil: not running
}

// drillPatience is the limit for one step; only a hang takes that long.
const drillPatience = time.Minute

func newDrill(t *testing.T, third bool) *drill {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	t.Parallel() // they spend most of their time waiting
	d := &drill{T: t, dir: t.TempDir(), instances: make(map[string]*drillInstance)}
	names := []string{"a", "b"}
	if third {
		names = append(names, "c")
	}
	for _, name := range names {
		ports := heldPorts(t)
		d.instances[name] = &drillInstance{clients: ports[0], admin: ports[1], link: ports[2], config: filepath.Join(d.dir, name+".yaml")}
	}
	for _, name := range names {
		d.configure(name, third)
	}
	t.Cleanup(func() {
		for _, i := range d.instances {
			if i.process != nil {
				i.process.cmd.Process.Kill()
				i.process.cmd.Wait()
			}
			if t.Failed() && i.process != nil {
				t.Logf("log of %s:\n%s", i.config, i.process.stderr)
			}
		}
	})
	return d
}

// heldPorts returns the addresses of ports that are the test's own: for clients, admin and link.
func heldPorts(t *testing.T) (addresses [3]string) {
	t.Helper()
	for n := range addresses {
		addresses[n] = heldport.ForTest(t)
	}
	return addresses
}

func (d *drill) configure(name string, third bool) {
	d.Helper()
	links := "peers: [a, b]"
	if other := map[string]string{"a": "b", "b": "a"}[name]; other != "" {
		links = fmt.Sprintf("destinations:\n    - {name: %s, address: %q, downgrade_after: 500ms}\n", other, d.instances[other].link)
		if third {
			links += fmt.Sprintf("    - {name: c, address: %q, ack: async}\n", d.instances["c"].link)
		}
	}
	d.write(name, links)
}

// write writes the configuration of an instance.
func (d *drill) write(name, links string) {
	d.Helper()
	i := d.instances[name]
	text := fmt.Sprintf("name: %s\ngroup: g\ndata: %s\nclients: {listen: %q}\nadmin: {listen: %q}\nrejoin_timeout: 500ms\n"+
		"replication:\n  listen: %q\n  %s\n", name, name+".journal", i.clients, i.admin, i.link, links)
	if err := os.WriteFile(i.config, []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
}

func (d *drill) journal(name string) string { return filepath.Join(d.dir, name+".journal") }

func (d *drill) start(names ...string) {
	d.Helper()
	for _, name := range names {
		cmd := exec.Command(daemon, "-config", d.instances[name].config)
		p := &process{t: d.T, cmd: cmd, stderr: new(output)}
		cmd.Stderr = p.stderr
		if err := cmd.Start(); err != nil {
			d.Fatal(err)
		}
		d.instances[name].process = p
	}
	for _, name := range names {
		d.instances[name].process.stderr.await(d.T, "serving clients")
	}
}

func (d *drill) stop(signal syscall.Signal, names ...string) {
	d.Helper()
	for _, name := range names {
		p := d.instances[name].process
		p.signal(signal)
		p.cmd.Wait()
		d.instances[name].process = nil
	}
}

// run runs a command of the runbook and returns its exit code and output.
func (d *drill) run(program string, args ...string) (code int, out string) {
	d.Helper()
	b, err := exec.Command(program, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(b)
}

// command runs a command and checks its exit code and that its output contains a text.
func (d *drill) command(code int, says, program string, args ...string) {
	d.Helper()
	if got, out := d.run(program, args...); got != code || !strings.Contains(out, says) {
		d.Fatalf("%s %s: exit %d, want %d and %q:\n%s", filepath.Base(program), strings.Join(args, " "), got, code, says, out)
	}
}

// awaitStatus runs 'holdfast status' until its output contains all of the texts.
func (d *drill) awaitStatus(names []string, says ...string) {
	d.Helper()
	var args []string
	for _, name := range names {
		args = append(args, d.instances[name].admin)
	}
	d.await(func() (bool, string) {
		_, out := d.run(statusCommand(d.T), append([]string{"status"}, args...)...)
		return !slices.ContainsFunc(says, func(text string) bool { return !strings.Contains(out, text) }), out
	}, "status of %v does not say %q", names, says)
}

// await waits for a condition.
func (d *drill) await(condition func() (bool, string), format string, args ...any) {
	d.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	over := time.After(drillPatience)
	for {
		done, seen := condition()
		if done {
			return
		}
		select {
		case <-look.C:
		case <-over:
			d.Fatalf(format+":\n%s", append(args, seen)...)
		}
	}
}

// statusCommand returns the path of the command holdfast, which it builds once.
var statusCommand = func() func(t *testing.T) string {
	var once sync.Once
	var file string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			file = filepath.Join(filepath.Dir(daemon), "holdfast")
			if out, err := exec.Command("go", "build", "-o", file, "../holdfast").CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
		})
		return file
	}
}()

func (d *drill) servers() (uris []string) {
	for _, name := range []string{"a", "b", "c"} {
		if i := d.instances[name]; i != nil {
			uris = append(uris, "tcp://"+i.clients+"/amps/json")
		}
	}
	return uris
}

func (d *drill) dial(name string, set func(*sdk.Config)) *sdk.Client {
	d.Helper()
	cfg := sdk.Config{Name: name, Servers: d.servers(), StartOffline: true, Hooks: sdk.Hooks{
		Lost: func(e *sdk.LostError) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.lost = append(d.lost, *e)
		},
		FailedWrite: func(e *sdk.RejectedError) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.rejected = append(d.rejected, string(e.Message.Body))
		},
		LifeRenewed: func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.rollback = err
		},
	}}
	set(&cfg)
	c, err := sdk.Dial(d.Context(), cfg)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { c.Close() })
	return c
}

// publisher connects a client with a publish store in a directory.
func (d *drill) publisher(dir string) *sdk.Client {
	d.Helper()
	store, err := pubstore.OpenFile(filepath.Join(d.dir, dir), pubstore.FileOptions{})
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { store.Close() })
	return d.dial("publisher", func(c *sdk.Config) { c.PublishStore = store })
}

func (d *drill) publish(c *sdk.Client, from, to int) {
	d.Helper()
	for n := from; n <= to; n++ {
		if _, err := c.Publish(d.Context(), "orders", fmt.Append(nil, n)); err != nil {
			d.Fatal(err)
		}
	}
}

func (d *drill) flush(f func(context.Context) error) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), drillPatience)
	defer cancel()
	if err := f(ctx); err != nil {
		d.Fatal(err)
	}
}

// awaitLost waits until the publisher is told this loss.
func (d *drill) awaitLost(from, to int) {
	d.Helper()
	d.await(func() (bool, string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.lost) > 0 && d.lost[0].From == uint64(from) && d.lost[0].To == uint64(to), fmt.Sprint(d.lost)
	}, "the publisher was not told that %d to %d are lost", from, to)
}

func (d *drill) takeRejected() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.rejected
	d.rejected = nil
	return all
}

// read subscribes from the beginning and reads up to the message last. It checks that no message is
// missing except the lost ones, and that the subscriber is told of these.
func (d *drill) read(last, lostFrom, lostTo int) {
	d.Helper()
	marks, err := bookmarkstore.OpenBolt(filepath.Join(d.dir, "marks.db"), bookmarkstore.BoltOptions{})
	if err != nil {
		d.Fatal(err)
	}
	defer marks.Close()
	c := d.dial("reader", func(cfg *sdk.Config) { cfg.BookmarkStore = marks })
	defer c.Close()
	ctx, cancel := context.WithTimeout(d.Context(), drillPatience)
	defer cancel()
	var gaps []sdk.Gap
	sub, err := c.Subscribe(ctx, "orders", sdk.From(sdk.Epoch), sdk.OnGap(func(e *sdk.GapError) { gaps = append(gaps, e.Gaps...) }))
	if err != nil {
		d.Fatal(err)
	}
	next := 1
	for m, err := range sub.Messages(ctx) {
		if next == lostFrom {
			next = lostTo + 1
		}
		if err != nil {
			d.Fatalf("reading %d: %v", next, err)
		}
		if string(m.Body) != fmt.Sprint(next) {
			d.Fatalf("read %q, want %d", m.Body, next)
		}
		if next == last {
			break
		}
		next++
	}
	if lostFrom > 0 && (len(gaps) == 0 || gaps[0].From != uint64(lostFrom) || gaps[len(gaps)-1].To != uint64(lostTo)) {
		d.Errorf("the subscriber was told gaps %v, want %d to %d", gaps, lostFrom, lostTo)
	}
}

// copyDir copies a directory, like a backup.
func (d *drill) copyDir(from, to string) {
	d.Helper()
	if err := os.RemoveAll(to); err != nil {
		d.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		d.Fatal(err)
	}
}

// The pair is dead, and the asynchronous third instance, which lags, goes on alone (DISASTER.md,
// A).
func TestDisasterThirdGoesOn(t *testing.T) {
	d := newDrill(t, true)
	d.start("a", "b", "c")
	p := d.publisher("outbox")
	d.publish(p, 1, 50)
	d.flush(p.FlushSafe)
	d.awaitStatus([]string{"a", "b"}, "all is well")
	d.stop(syscall.SIGKILL, "c")
	d.publish(p, 51, 80)
	d.flush(p.FlushSafe)
	d.stop(syscall.SIGKILL, "a", "b")

	c := d.instances["c"].config
	d.command(1, "no instance runs with this configuration", daemon, "lost", "-config", c, "a", "b")
	d.start("c")
	d.publish(p, 81, 90)
	d.awaitStatus([]string{"c"}, "it refuses publishers because it lacks messages that were acknowledged to them as safe", "holdfastd lost")
	d.command(1, "b is not connected with c: start it, or name it", daemon, "lost", "-config", c, "a")
	d.command(78, "-config is missing", daemon, "lost", "a")
	d.command(0, "incarnation 1 has begun, with c", daemon, "lost", "-config", c, "a", "b")
	d.flush(p.Flush)
	d.awaitLost(51, 80)
	d.read(90, 51, 80)
	d.awaitStatus([]string{"c"}, "the decree of incarnation 1 stands", "0 publishers have not been seen since")

	// The old a must not serve clients: its group has declared messages lost.
	d.start("a")
	d.instances["a"].process.stderr.await(t, "OUTDATED: no clients are served any more")
	d.awaitStatus([]string{"a"}, "it serves no clients", "start it with an empty one")
	d.stop(syscall.SIGTERM, "a")
	for _, name := range []string{"a", "b"} {
		if err := os.Rename(d.journal(name), d.journal(name)+".old"); err != nil {
			t.Fatal(err)
		}
	}
	// a and b get everything from c, which has not replicated to anybody so far.
	d.stop(syscall.SIGTERM, "c")
	d.write("c", fmt.Sprintf("destinations:\n    - {name: a, address: %q, ack: async}\n    - {name: b, address: %q, ack: async}\n",
		d.instances["a"].link, d.instances["b"].link))
	d.start("a", "b", "c")
	d.flush(p.FlushSafe)
	d.read(90, 51, 80)
	d.command(0, "the decree of incarnation 1 has ended", daemon, "lost", "-config", c, "-end")
	d.command(1, "no decree stands", daemon, "lost", "-config", c, "-end")
	d.awaitStatus([]string{"a", "b"}, "all is well")
}

// Both journals are restored from backups of different times (DISASTER.md, B).
func TestDisasterBothFromBackups(t *testing.T) {
	d := newDrill(t, false)
	d.start("a", "b")
	p := d.publisher("outbox")
	upTo := func(from, to int, saved string) {
		d.publish(p, from, to)
		d.flush(p.FlushSafe)
		d.stop(syscall.SIGTERM, "a", "b")
		if saved != "" {
			d.copyDir(d.journal(saved), d.journal(saved)+".backup")
			d.start("a", "b")
		}
	}
	upTo(1, 50, "a")
	upTo(51, 60, "b")
	upTo(61, 80, "")
	for _, name := range []string{"a", "b"} {
		d.copyDir(d.journal(name)+".backup", d.journal(name))
	}
	d.start("a", "b")
	d.publish(p, 81, 90)
	d.awaitStatus([]string{"a", "b"}, "it refuses publishers because it lacks messages")
	a := d.instances["a"].config
	d.command(1, "b is connected with a: stop it, or leave its name out", daemon, "lost", "-config", a, "b")
	d.command(0, "incarnation 1 has begun, with a, b", daemon, "lost", "-config", a)
	d.command(1, "end it first", daemon, "lost", "-config", a)
	d.flush(p.FlushSafe)
	d.awaitLost(61, 80)
	d.read(90, 61, 80)
	d.command(0, "has ended", daemon, "lost", "-config", d.instances["b"].config, "-end")
	d.await(func() (bool, string) { // a refusal stays in the status for a minute
		_, out := d.run(statusCommand(t), "status", d.instances["a"].admin, d.instances["b"].admin)
		return !strings.Contains(out, "decree"), out
	}, "the decree stands")
}

// The store of a publisher is restored from a backup (DISASTER.md, C).
func TestDisasterStoreFromBackup(t *testing.T) {
	d := newDrill(t, false)
	d.start("a", "b")
	upTo := func(from, to int) {
		store, err := pubstore.OpenFile(filepath.Join(d.dir, "outbox"), pubstore.FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for n := from; n <= to; n++ { // before the store learns the servers' numbers
			if _, err := store.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: fmt.Append(nil, n)}); err != nil {
				t.Fatal(err)
			}
		}
		c := d.dial("publisher", func(c *sdk.Config) { c.PublishStore = store })
		d.flush(c.FlushSafe)
		// Messages whose numbers the servers have already are rejected.
		for _, body := range d.takeRejected() {
			if _, err := c.Publish(t.Context(), "orders", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		d.flush(c.FlushSafe)
		if err := errors.Join(c.Close(), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	upTo(1, 20)
	d.copyDir(filepath.Join(d.dir, "outbox"), filepath.Join(d.dir, "outbox.backup"))
	upTo(21, 40)
	d.copyDir(filepath.Join(d.dir, "outbox.backup"), filepath.Join(d.dir, "outbox"))
	upTo(41, 50)
	d.mu.Lock()
	if !errors.Is(d.rollback, sdk.ErrStoreRolledBack) || len(d.lost) > 0 {
		t.Errorf("told %v, lost %v", d.rollback, d.lost)
	}
	d.mu.Unlock()
	d.read(50, 0, 0)
	d.awaitStatus([]string{"a", "b"}, "a publish store was copied, or restored from a backup")
}
