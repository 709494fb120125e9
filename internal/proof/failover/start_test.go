package failover

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A start that is interrupted, or whose instances end at once, ends with that.
func TestStartThatFails(t *testing.T) {
	events := []event{{"ak", []byte(`{"id":"1","net":"ak"}`)}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := execute(ctx, options{rounds: 1}, events, t.TempDir(), []string{"sleep", "60"}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := execute(ctx, options{rounds: 1}, events, t.TempDir(), []string{"go", "no-such-command"}); err == nil || !strings.Contains(err.Error(), "no-such-command: unknown command") {
		t.Errorf("instances end at once: %v", err)
	}
}
