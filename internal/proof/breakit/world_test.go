package breakit

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/instance"
)

// The test's own program is also the instances.
func TestMain(m *testing.M) {
	instance.Main()
	os.Exit(m.Run())
}

// A start that is interrupted at any of its steps ends with that, and nothing is
// left: close, which waits for all of it, returns.
func TestInterruptedStart(t *testing.T) {
	for step := 0; ; step++ {
		last, whole := interrupt(t, step)
		if whole {
			if step < 5 {
				t.Errorf("there are %d steps", step)
			}
			return
		}
		t.Logf("interrupted after step %d: %s", step, last)
	}
}

// interrupt starts a world and interrupts it with a step; whole: the start came
// to its end before that.
func interrupt(t *testing.T, step int) (last string, whole bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	done := func(line string) {
		if steps++; steps == step {
			cancel()
		}
		last = strings.TrimSpace(line)
	}
	if step == 0 {
		cancel()
	}
	w, err := newWorld(ctx, t.TempDir(), instance.Command(), 50, done)
	if err == nil {
		whole = ctx.Err() == nil
		cancel()
		w.close()
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("after step %d, %q: %v", step, last, err)
	}
	return last, whole
}
