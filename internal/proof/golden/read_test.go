package golden_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/golden"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A pair and its clients go on with the journals and stores of each version: nothing is missing,
// nothing comes twice, and both journals become the same.
func TestRead(t *testing.T) {
	golden.Each(t, func(t *testing.T, dir string) {
		s := newSite(t, dir, nil)
		s.start()
		file, bolt, marks := s.file(), s.bolt(), s.bookmarks()
		defer file.Close()
		defer bolt.Close()
		defer marks.Close()
		g := s.dial(client.Config{Name: gateway, PublishStore: file}, nil)
		defer g.Close()
		d := s.dial(client.Config{Name: desk, PublishStore: bolt}, nil)
		defer d.Close()
		s.publish(g, gateway, orders, 28, 30)
		s.publish(d, desk, fills, 11, 12)
		s.flush(g.FlushSafe)
		s.flush(d.FlushSafe)
		s.pair.AwaitConverged()

		got := map[string][]string{}
		for _, m := range s.pair.B.Messages("") {
			name, _, _ := strings.Cut(string(m.Body), " ")
			got[name] = append(got[name], m.Topic+": "+string(m.Body))
		}
		for _, want := range []struct {
			name, topic string
			last        int
		}{{gateway, orders, 30}, {feed, orders, 5}, {desk, fills, 12}} {
			if list := numbered(want.topic+": "+want.name, 1, want.last); !slices.Equal(got[want.name], list) {
				t.Errorf("%s: the journals have %q, want %q", want.name, got[want.name], list)
			}
		}

		a := s.dial(client.Config{Name: auditor, BookmarkStore: marks}, nil)
		defer a.Close()
		want := append(numbered(gateway, 13, 30), numbered(feed, 1, 5)...)
		want = slices.DeleteFunc(want, func(s string) bool { return s == fmt.Sprint(gateway, " ", outOfOrder) })
		if received := s.receive(a, len(want)); !slices.Equal(received, slices.Sorted(slices.Values(want))) {
			t.Errorf("the auditor received %q, want %q", received, want)
		}
	})
}

// numbered returns the texts that start with a prefix and end with the numbers from to to.
func numbered(prefix string, from, to int) (list []string) {
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprint(prefix, " ", n))
	}
	return list
}

// receive resumes the auditor's subscription and returns the next n messages, and any that come
// within a moment after them, sorted.
func (s *site) receive(c *client.Client, n int) (received []string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	sub, err := c.Subscribe(ctx, orders, client.ID(place), client.From(client.MostRecent))
	if err != nil {
		s.Fatal(err)
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			break // the context has ended
		}
		if want := headersOf(string(m.Body)); !bytes.Equal(m.Headers.Encoded(), want.Encoded()) {
			s.Errorf("%s has the headers %q, want %q", m.Body, m.Headers.Encoded(), want.Encoded())
		}
		if received = append(received, string(m.Body)); len(received) == n {
			time.AfterFunc(200*time.Millisecond, cancel)
		}
	}
	slices.Sort(received)
	return received
}

// The frames of each version's sessions can be read: the gateway's batches, and the auditor's
// stretches.
func TestSessions(t *testing.T) {
	golden.Each(t, func(t *testing.T, dir string) {
		for _, tt := range []struct{ file, prefix string }{{gateway + ".out", gateway}, {auditor + ".in", ""}} {
			b, err := os.ReadFile(dir + "/" + tt.file)
			if err != nil {
				t.Fatal(err)
			}
			bodies := bodiesOf(t, b)
			if len(bodies) < 20 {
				t.Errorf("%s: %d messages: %q", tt.file, len(bodies), bodies)
			}
			for n, body := range bodies[:min(20, len(bodies))] {
				if want := fmt.Sprint(gateway, " ", n+1); body != want {
					t.Errorf("%s: message %d is %q, want %q", tt.file, n+1, body, want)
				}
			}
		}
		for _, file := range []string{gateway + ".in", auditor + ".out"} {
			b, err := os.ReadFile(dir + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			bodiesOf(t, b)
		}
	})
}

// bodiesOf returns the bodies of the messages in a recorded direction of a session.
func bodiesOf(t *testing.T, b []byte) (bodies []string) {
	t.Helper()
	r := wire.NewReader(bytes.NewReader(b), wire.MaxFrame)
	for frames := 0; ; frames++ {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if frames < 2 {
				t.Errorf("%d frames", frames)
			}
			return bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		var m wire.Message
		if err := wire.Parse(frame, &m); err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		switch m.Command {
		case wire.Batch:
			bodies = append(bodies, bodiesOfBatch(t, m.Body)...)
		case wire.Stretch:
			var e wire.Entry
			for rest, more := m.Body, true; ; {
				if rest, more, err = wire.NextEntry(rest, &e); err != nil || !more {
					break
				}
				bodies = append(bodies, string(e.Body))
			}
			if err != nil {
				t.Fatal(err)
			}
		case wire.Unknown:
			t.Errorf("unknown command %q", m.CommandText)
		case wire.Publish, wire.DeltaPublish:
			bodies = append(bodies, string(m.Body))
		}
	}
}

func bodiesOfBatch(t *testing.T, b []byte) (bodies []string) {
	t.Helper()
	for len(b) > 0 {
		raw, rest, ok := record.CutFramed(b)
		var r record.Record
		if err := record.Parse(raw, &r); !ok || err != nil {
			t.Fatalf("a batch of %d bytes: %v", len(b), err)
		}
		bodies, b = append(bodies, string(r.Body)), rest
	}
	return bodies
}
