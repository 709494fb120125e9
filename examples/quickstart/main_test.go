package main

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

// The program fails unless all ten messages are safe and come back.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := rig.WithPair(ctx, run); err != nil {
		t.Fatal(err)
	}
}
