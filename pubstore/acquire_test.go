package pubstore_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestAcquire(t *testing.T) {
	s := pubstore.NewMemory(pubstore.MemoryOptions{})
	first, err := s.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Acquire(); !errors.Is(err, pubstore.ErrInUse) {
		t.Errorf("second Acquire: %v", err)
	}
	first()
	if _, err := s.Acquire(); err != nil {
		t.Errorf("Acquire after the release: %v", err)
	}
	first() // must not end the second lease
	if _, err := s.Acquire(); !errors.Is(err, pubstore.ErrInUse) {
		t.Errorf("Acquire after a second call of the first release: %v", err)
	}
}

// An Append that gives up waiting for room returns an error that names ErrFull and the context
// error.
func TestWaitForRoomGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 1})
		if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "a"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		_, err := s.Append(ctx, &pubstore.Message{Topic: "a"})
		if !errors.Is(err, pubstore.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrFull and DeadlineExceeded", err)
		}
	})
}
