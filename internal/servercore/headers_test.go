package servercore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// connectAs logs on a client with a name, with or without our extensions.
func (s *harness) connectAs(name string, ext bool) *client {
	s.t.Helper()
	c := s.connect()
	if err := c.core.Execute(s.message(&wire.LogonCommand{CommandID: "0", ClientName: name, Acks: wire.AckProcessed, Ext: ext}), 0); err != nil {
		s.t.Fatal(err)
	}
	if err := c.core.Decide(s.now); err != nil {
		s.t.Fatal(err)
	}
	c.out()
	return c
}

// deliveries returns the messages in the output, with their headers and correlation ids.
func (c *client) deliveries() (lines []string) {
	c.s.t.Helper()
	b, _, _ := c.core.Fill(nil, c.s.now)
	for _, m := range frames(c.s.t, b) {
		if m.Command == wire.Publish {
			lines = append(lines, fmt.Sprintf("%s: %q %q", m.Body, m.Headers, m.CorrelationID))
		}
	}
	return lines
}

func header(key, value string) []byte { return record.AppendHeader(nil, key, value) }

// A client with our extensions gets the headers of each message, whether it goes alone, in a
// stretch or is not logged. A plain client gets none of them, and only plain correlation ids.
func TestHeadersAreDelivered(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p, ext, plain := s.publisher("p"), s.connectAs("ext", true), s.connectAs("plain", false)
		for _, c := range []*client{ext, plain} {
			for _, cmd := range []wire.SubscribeCommand{
				{SubID: "1", Topic: "a", Bookmark: "0"}, {SubID: "2", Topic: "unlogged"},
			} {
				cmd.Command, cmd.CommandID = wire.Subscribe, cmd.SubID
				if err := c.send(&cmd); err != nil {
					t.Fatal(err)
				}
			}
			c.out()
		}
		const id = "any \"\\\x00\xff"
		for n := range uint64(3) {
			h, x := header("k", fmt.Sprint(n)), id
			if n == 1 {
				h, x = nil, "4bf92f35-77b3,"
			}
			if err := p.send(&wire.PublishCommand{Topic: "a", Acks: wire.AckPersisted, Sequence: n + 1, Headers: h, CorrelationID: x, Body: fmt.Append(nil, n)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.send(&wire.PublishCommand{Topic: "unlogged", Headers: header("k", "u"), CorrelationID: id, Body: []byte("u")}); err != nil {
			t.Fatal(err)
		}
		s.sync()
		sorted := func(lines []string) []string { slices.Sort(lines); return lines }
		want := []string{
			fmt.Sprintf("0: %q %q", header("k", "0"), id), `1: "" "4bf92f35-77b3,"`, fmt.Sprintf("2: %q %q", header("k", "2"), id),
			fmt.Sprintf("u: %q %q", header("k", "u"), id),
		}
		if got := sorted(ext.deliveries()); !slices.Equal(got, want) {
			t.Errorf("with extensions:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		want = []string{`0: "" ""`, `1: "" "4bf92f35-77b3,"`, `2: "" ""`, `u: "" ""`}
		if got := sorted(plain.deliveries()); !slices.Equal(got, want) {
			t.Errorf("plain:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Headers that no message may have are rejected. A plain client knows no such key.
func TestInvalidHeadersAreRejected(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("p")
		for n, bad := range [][]byte{[]byte("x"), header("a b", ""), append(header("k", ""), header("k", "")...), header("k", strings.Repeat("v", 5000))} {
			if err := p.send(&wire.PublishCommand{Topic: "a", Acks: wire.AckPersisted, Sequence: uint64(n) + 1, Headers: bad}); err != nil {
				t.Fatal(err)
			}
			s.sync()
			got := fmt.Sprint(p.out())
			if want := fmt.Sprintf("persisted failure s=%d reason=invalid headers", n+1); !strings.Contains(got, want) {
				t.Errorf("%q: %s, want %s", bad, got, want)
			}
		}
		plain := s.connectAs("plain", false)
		if err := plain.send(&wire.PublishCommand{CommandID: "1", Topic: "a", Acks: wire.AckProcessed, Headers: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if got := plain.out(); !slices.Contains(got, "processed success") {
			t.Errorf("plain: %q", got)
		}
	})
}

// Two messages of one identity that differ only in their headers have two contents (R11).
func TestHeadersAreContent(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("p")
		send := func(headers []byte) []string {
			if err := p.send(&wire.PublishCommand{Topic: "a", Acks: wire.AckPersisted, Sequence: 1, Body: []byte("b"), Headers: headers}); err != nil {
				t.Fatal(err)
			}
			s.sync()
			return p.out()
		}
		if got := send(header("k", "v")); !slices.Equal(got, []string{"persisted success s=1"}) {
			t.Errorf("%q", got)
		}
		if got := send(header("k", "v")); !slices.Equal(got, []string{"persisted success s=1"}) {
			t.Errorf("again: %q", got)
		}
		for _, other := range [][]byte{nil, header("k", "w"), header("l", "v")} {
			if got := fmt.Sprint(send(other)); !strings.Contains(got, "duplicate with other content") {
				t.Errorf("%q: %s", other, got)
			}
		}
	})
}
