package servercore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/stretches"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// frameShapes describes how the messages in the output are arranged in frames.
func (c *client) frameShapes() (lines []string) {
	c.s.t.Helper()
	b, _, _ := c.core.Fill(nil, c.s.now)
	var frame []byte
	for len(b) > 0 {
		frame, b = stretches.Cut(b)
		var m wire.Message
		if err := wire.Parse(frame[4:], &m); err != nil {
			c.s.t.Fatal(err)
		}
		if m.Command != wire.Stretch {
			lines = append(lines, describe(&m))
			continue
		}
		if len(frame) > wire.MaxStretch {
			c.s.t.Errorf("a stretch of %d bytes", len(frame))
		}
		spread, err := stretches.Expand(&m, nil)
		if err != nil {
			c.s.t.Fatal(err)
		}
		var of []string
		for _, d := range frames(c.s.t, spread) {
			of = append(of, fmt.Sprintf("%.8s", d.Body))
		}
		lines = append(lines, fmt.Sprintf("stretch %s: %s", m.SubIDs, strings.Join(of, " ")))
	}
	return lines
}

// Consecutive messages to the same subscriptions form one stretch. Some messages go alone: the
// first one of a publisher, whose record has the check; messages without a bookmark; and a message
// that is too long.
func TestStretches(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p, r := s.publisher("p"), s.publisher("r")
		n := uint64(0)
		publish := func(topic string, bodies ...string) {
			s.t.Helper()
			for _, body := range bodies {
				n++
				if err := p.publish(topic, n, body); err != nil {
					s.t.Fatal(err)
				}
			}
			s.sync()
		}
		want := func(lines ...string) {
			s.t.Helper()
			if got := r.frameShapes(); !slices.Equal(got, lines) {
				s.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
			}
		}
		subscribe := func(id, topic, at string) {
			s.t.Helper()
			if err := r.subscribe(id, topic, at, ""); err != nil {
				s.t.Fatal(err)
			}
		}
		publish("a", "1", "2", "3")
		subscribe("x", "a", "0")
		want("processed success sub=x", "x: 1", "stretch x: 2 3")
		subscribe("y", "^b$", "0|1|")
		subscribe("z", "^[ab]$", "")
		want("processed success sub=y", "processed success sub=z")
		publish("b", "4", "5")
		publish("a", "6")
		publish("b", "7")
		want("stretch y,z: 4 5", "stretch x,z: 6", "stretch y,z: 7")
		if err := r.send(&wire.UnsubscribeCommand{CommandID: "u", SubID: "y"}); err != nil {
			s.t.Fatal(err)
		}
		r.frameShapes()
		publish("b", "8", "9")
		want("z: 8", "z: 9")
		long := strings.Repeat("l", 20_000)
		publish("a", long, long, long, long, strings.Repeat("L", 65_500), "10")
		want("stretch x,z: llllllll llllllll llllllll", "stretch x,z: llllllll", "x,z: "+strings.Repeat("L", 65_500), "stretch x,z: 10")
	})
}

// Output between two messages ends the stretch of the first.
func TestStretchEnds(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p, r := s.publisher("p"), s.publisher("r")
		if err := r.subscribe("x", "a", "0", "vector"); err != nil {
			s.t.Fatal(err)
		}
		r.frameShapes()
		for n := range uint64(2100) {
			if err := p.publish("a", n+1, "m"); err != nil {
				s.t.Fatal(err)
			}
		}
		s.sync()
		var kinds []string
		for {
			got := r.frameShapes()
			if len(got) == 0 {
				break
			}
			for _, line := range got {
				kind, _, _ := strings.Cut(line, ": ")
				kinds = append(kinds, fmt.Sprint(kind, " ", strings.Count(line, " m")))
			}
		}
		marks := 0
		delivered := 1 // the first message, which goes alone
		for _, k := range kinds {
			var n int
			if _, err := fmt.Sscanf(k, "stretch x %d", &n); err == nil {
				delivered += n
			}
			if strings.HasPrefix(k, "persisted") {
				if marks++; delivered != 1000*marks {
					s.t.Errorf("mark %d behind %d messages", marks, delivered)
				}
			}
		}
		if marks != 2 || delivered != 2100 {
			s.t.Errorf("%d marks, %d messages: %q", marks, delivered, kinds)
		}
	})
}

// A plain client and a client with our extensions see the same messages with the same fields.
func TestPlainSeesTheSame(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p, q := s.publisher("p"), s.publisher("q")
		for n := uint64(1); n <= 200; n++ {
			c := wire.PublishCommand{Topic: string("ab"[n%2]), Acks: wire.AckPersisted, Sequence: (n + 1) / 2, Body: fmt.Append(nil, "body ", n)}
			if n%3 == 0 {
				c.CorrelationID = fmt.Sprint("x", n)
			}
			if n%5 == 0 {
				c.SOWKey, c.Expiration, c.HasExpiration = "k", 7, true
			}
			if err := []*client{q, p}[n%2].send(&c); err != nil {
				s.t.Fatal(err)
			}
		}
		s.sync()
		for _, options := range []string{"", "timestamp"} {
			seen := make(map[bool][]string)
			for _, ext := range []bool{false, true} {
				c := s.connect()
				cmd := wire.LogonCommand{CommandID: "0", ClientName: fmt.Sprint("r", ext, options), Acks: wire.AckProcessed, Ext: ext}
				if err := c.core.Execute(s.message(&cmd), 0); err != nil {
					s.t.Fatal(err)
				}
				if err := c.core.Decide(s.now); err != nil {
					s.t.Fatal(err)
				}
				c.out()
				if err := c.subscribe("1", "^[ab]$", "0", options); err != nil {
					s.t.Fatal(err)
				}
				b, _, _ := c.core.Fill(nil, s.now)
				for _, m := range frames(s.t, b) {
					if m.Command == wire.Publish {
						seen[ext] = append(seen[ext], fmt.Sprintf("%s %s at %s x %s k %s by %s: %s", m.Topic, m.Bookmark, m.Timestamp, m.CorrelationID, m.SOWKey, m.UserID, m.Body))
					}
				}
			}
			if len(seen[true]) != 200 || !slices.Equal(seen[true], seen[false]) {
				s.t.Errorf("%q: %d of 200 messages, or not those that a plain client sees", options, len(seen[true]))
			}
		}
	})
}
