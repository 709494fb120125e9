package servercore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// subscribeAt subscribes without vector at bm and returns the output: bodies, and the bookmark of
// the completed ack or the reason of a refusal.
func (s *harness) subscribeAt(topic, bm string) (got []string) {
	s.t.Helper()
	c := s.publisher("plain")
	cmd := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: "1", SubID: "1", Topic: topic, Bookmark: bm, Acks: wire.AckProcessed | wire.AckCompleted,
	}
	if err := c.send(&cmd); err != nil {
		s.t.Fatal(err)
	}
	for more := true; more; {
		var b []byte
		b, more, _ = c.core.Fill(nil, s.now)
		for _, m := range frames(s.t, b) {
			switch {
			case m.Command == wire.Publish:
				got = append(got, string(m.Body))
			case m.Failed():
				got = append(got, "refused: "+string(m.Reason))
			case m.Acks == wire.AckCompleted:
				got = append(got, "completed "+string(m.Bookmark))
			}
		}
	}
	return got
}

// A subscription with a list begins at the earliest of its bookmarks and repeats nothing that the
// list covers. A completed ack names only a message that the subscriber got.
func TestPlainList(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p, q := s.publisher("p"), s.publisher("q")
		text := func(life string, sequence uint64) string {
			return bookmark.Bookmark{Publisher: bookmark.IdentityOfLife(life).ID, Sequence: sequence}.String()
		}
		publish := func(by *client, topic string, n uint64, body string) {
			if err := by.publish(topic, n, body); err != nil {
				t.Fatal(err)
			}
		}
		publish(q, "a", 1, "q1")
		publish(p, "a", 1, "p1")
		publish(p, "b", 2, "p2")
		publish(p, "a", 3, "p3")
		publish(q, "a", 2, "q2")
		publish(p, "b", 4, "p4")
		s.sync()
		for _, tt := range []struct {
			topic, bm string
			want      []string
		}{
			{"a", "0", []string{"q1", "p1", "p3", "q2", "completed " + text("q", 2)}},
			{"a", text("q", 1) + "," + text("p", 3), []string{"q2", "completed " + text("q", 2)}},
			{"a", text("p", 3) + "," + text("q", 1), []string{"q2", "completed " + text("q", 2)}},
			{"a", text("q", 1) + "," + text("p", 1), []string{"p3", "q2", "completed " + text("q", 2)}},
			{"a", text("p", 1) + "," + text("p", 3), []string{"q2", "completed " + text("q", 2)}},
			{"a", text("q", 2) + "," + text("p", 4), []string{"completed "}},
			{"a", text("q", 2) + "," + text("p", 9), []string{"completed "}},
			{"a", text("q", 1) + "," + text("p", 9), []string{"q2", "completed " + text("q", 2)}},
			{"b", text("p", 2), []string{"p4", "completed " + text("p", 4)}},
			{"b", text("q", 2), []string{"p4", "completed " + text("p", 4)}},
			{"a", text("p", 3) + ",20380101T000000", []string{"q2", "completed " + text("q", 2)}},
			{"a", text("p", 3) + ",19700101T000000", []string{"q1", "q2", "completed " + text("q", 2)}},
			{"a", text("p", 9), []string{"completed "}},
		} {
			if got := s.subscribeAt(tt.topic, tt.bm); !slices.Equal(got, tt.want) {
				t.Errorf("%s at %s: %q, want %q", tt.topic, tt.bm, got, tt.want)
			}
		}
	})
}

// A countingLedger counts its searches for bookmarks.
type countingLedger struct {
	ledger.Ledger
	searches int
	during   func() // called during a search, if not nil
}

func (l *countingLedger) Find(list []bookmark.Bookmark, stop func() bool) (ledger.Position, bool, error) {
	l.searches++
	if l.during != nil {
		l.during()
	}
	return l.Ledger.Find(list, stop)
}

// A list has at most 1,000 bookmarks, and the log is searched once for all of them.
func TestPlainListIsBounded(t *testing.T) {
	l := &countingLedger{Ledger: memledger.New()}
	s := newHarness(t, l, func() {})
	list := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d|1|,", i+1)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	if got := s.subscribeAt("a", list(1000)); !slices.Equal(got, []string{"completed "}) || l.searches != 1 {
		t.Errorf("%q after %d searches", got, l.searches)
	}
	c := s.publisher("leaves")
	l.during = func() { c.core.End("gone", nil) }
	if err := c.subscribe("1", "a", "1|1|", ""); !errors.Is(err, servercore.ErrEnding) {
		t.Errorf("a client that has left: %v", err)
	}
	want := []string{"refused: more than 1000 bookmarks"}
	if got := s.subscribeAt("a", list(1001)); !slices.Equal(got, want) || l.searches != 2 {
		t.Errorf("%q after %d searches", got, l.searches)
	}
}
