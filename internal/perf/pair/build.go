package pair

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"
)

// Build builds holdfastd into dir, with the build tags of this program.
func Build(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "holdfastd")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	args := []string{"build", "-o", binary}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				args = append(args, "-tags", s.Value)
			}
		}
	}
	cmd := GoCommand(ctx, dir, append(args, "github.com/holdfast-mq/holdfast/server/cmd/holdfastd")...)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && ctx.Err() != nil:
		return "", fmt.Errorf("build holdfastd: %w", context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("build holdfastd: %w\n%s", err, out)
	}
	return binary, nil
}

// GoCommand returns a detached go command. When ctx ends, it is interrupted with all its
// child processes. Its temporary files are in dir, since an interrupt leaves some.
func GoCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	Detach(cmd)
	cmd.Env = append(os.Environ(), "GOTMPDIR="+dir)
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
