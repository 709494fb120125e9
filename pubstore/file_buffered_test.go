package pubstore_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A cursor that reads several messages at once returns the same messages as a cursor that reads one
// at a time, with discards and rejections in between.
func TestFileBuffered(t *testing.T) {
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		s, err := pubstore.OpenFile(fmt.Sprint(dir, "/", n), pubstore.FileOptions{SyncInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		life := s.Lives()[0].ID
		one, many := cursor(t, s, life), cursor(t, s, life)
		defer one.Close()
		defer many.Close()
		last := uint64(0)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			for range rapid.IntRange(0, 300).Draw(t, "messages") {
				m := &pubstore.Message{Topic: "t", Body: make([]byte, rapid.IntRange(0, 400).Draw(t, "size"))}
				if rapid.IntRange(0, 9).Draw(t, "key") == 0 {
					m.SOWKey = "key"
				}
				if last, err = s.Append(context.Background(), m); err != nil {
					t.Fatal(err)
				}
			}
			if last > 0 && rapid.IntRange(0, 3).Draw(t, "let go") == 0 {
				if err := s.Discard(life, uint64(rapid.IntRange(0, int(last)).Draw(t, "up to"))); err != nil {
					t.Fatal(err)
				}
			}
			if last > 0 && rapid.IntRange(0, 3).Draw(t, "reject") == 0 {
				if err := s.Reject(life, uint64(rapid.IntRange(1, int(last)).Draw(t, "rejected"))); err != nil {
					t.Fatal(err)
				}
			}
			want, got := rest(t, one, false), rest(t, many, true)
			if !bytes.Equal(want, got) {
				t.Fatalf("%d bytes one by one, %d at once", len(want), len(got))
			}
		}
	})
}

func cursor(t *rapid.T, s pubstore.Store, life string) pubstore.Cursor {
	c, err := s.Cursor(life, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rest returns the remaining records of a cursor, each after its length.
func rest(t *rapid.T, c pubstore.Cursor, useBuffered bool) (all []byte) {
	for {
		var m pubstore.Message
		more, err := c.Next(&m)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return all
		}
		all = record.AppendFramed(all, m.Record())
		if useBuffered {
			bufferedCursor := c.(interface {
				Buffered() []record.OrdinaryMessage
				Skip(n int)
			})
			run := bufferedCursor.Buffered()
			n := rapid.IntRange(0, len(run)).Draw(t, "skip")
			for _, o := range run[:n] {
				all = record.AppendFramed(all, o)
			}
			bufferedCursor.Skip(n)
		}
	}
}
