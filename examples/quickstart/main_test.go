package main

import (
	"context"
	"testing"
	"time"
)

// The program fails unless all ten messages are safe and come back.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := run(ctx); err != nil {
		t.Fatal(err)
	}
}

// bound is the longest time that the test may take.
const bound = time.Minute
