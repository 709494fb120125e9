//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// A spec is the job of the process inside the namespaces.
type spec struct {
	options
	Dir    string
	Binary string
}

// runInNamespaces runs the test in namespaces of its own, so that all it starts, mounts
// and links ends with it, and returns the exit code.
func runInNamespaces(ctx context.Context, o options) (code int, err error) {
	dir, err := os.MkdirTemp("", "holdfast-chaos-")
	if err != nil {
		return 1, err
	}
	defer func() {
		if o.Keep || code == 1 && err == nil {
			fmt.Println("seed, report, history, stores, journals and logs are in", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	spec := spec{options: o, Dir: dir, Binary: o.Binary}
	fmt.Printf("seed %d\n", o.Seed)
	if spec.Binary == "" {
		if spec.Binary, err = build(ctx, dir); err != nil {
			return 1, err
		}
	} else if spec.Binary, err = filepath.Abs(spec.Binary); err != nil {
		return 1, err
	}
	if err := os.WriteFile(filepath.Join(dir, "order.json"), []byte(text(spec)), 0o644); err != nil {
		return 1, err
	}
	return runInside(ctx, spec)
}

// build builds holdfastd into dir.
func build(ctx context.Context, dir string) (binary string, err error) {
	const module = "github.com/holdfast-mq/holdfast"
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module of holdfastd: %w", err)
	}
	binary = filepath.Join(dir, "holdfastd")
	cmd := pair.GoCommand(ctx, dir, "build", "-o", binary, module+"/server/cmd/holdfastd")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build holdfastd: %w\n%s", err, out)
	}
	return binary, nil
}

// runInside starts this command again as the first process of new namespaces
// and waits for it. When ctx ends it is asked to stop, and soon after killed.
func runInside(ctx context.Context, spec spec) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	report, err := os.Create(filepath.Join(spec.Dir, "report.txt"))
	if err != nil {
		return 1, err
	}
	defer report.Close()
	cmd := exec.Command(self, "inside", text(spec))
	cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, report), io.MultiWriter(os.Stderr, report)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // a terminal's interrupt comes here only
	}
	// Pdeathsig is sent when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 1, skipAll(spec.options, fmt.Sprintf("no namespaces: %v", err))
	}
	err = waitOrStop(ctx, cmd)
	var exited *exec.ExitError
	if errors.As(err, &exited) && exited.ExitCode() >= 0 {
		return exited.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), err
}

// waitOrStop waits for a process that it asks to stop when ctx ends, and kills
// soon after. It asks again and again: the first process of a namespace gets no
// signal before it listens for it.
func waitOrStop(ctx context.Context, cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	kill := time.After(15 * time.Second)
	for {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-kill:
			cmd.Process.Kill()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// skipAll reports each kind that was asked for as skipped.
func skipAll(o options, reason string) error {
	for _, k := range kindsNamed(o.Faults) {
		fmt.Printf("SKIP %s: %s\n", k.name, reason)
	}
	return errors.New("no kind of fault is available here")
}

// exitInterrupted is the exit code of a run that was asked to stop.
const exitInterrupted = 130

// inside is the first process of the namespaces.
func inside(text string) error {
	var spec spec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prepareNamespaces(); err != nil {
		return skipAll(spec.options, err.Error())
	}
	passed, err := execute(ctx, spec)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "chaos: interrupted")
		os.Exit(exitInterrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	case !passed:
		fmt.Println("FAILED")
		os.Exit(1)
	}
	fmt.Println("all is well")
	return nil
}

// prepareNamespaces makes the new namespaces usable: mounts stay in here, /proc shows
// the processes in here, and ip has a place for its names of networks.
func prepareNamespaces() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return runTool("ip", "link", "set", "lo", "up")
}

// runTool runs a tool of the system; its error has the tool's output.
func runTool(name string, args ...string) error { return runToolWithInput("", name, args...) }

// runToolWithInput is tool with something on standard input.
func runToolWithInput(input, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("there is no %s here", name)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
