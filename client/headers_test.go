package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/testkit/plain"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// headers returns headers of pairs of key and value.
func headers(pairs ...string) (h client.Headers) {
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// anyBytes is a text that the protocol has to escape, or cannot express without extensions.
const anyBytes = "a \"\\\n\x00\xff\u00e9,-"

// Headers and a correlation id of any bytes reach a server with our extensions, in a batch and
// alone.
func TestHeadersAreSent(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		want := headers("k", "v", "any", anyBytes)
		for _, body := range [][]byte{[]byte("b"), bytes.Repeat([]byte("b"), 100<<10)} {
			m := &pubstore.Message{Topic: "orders", Body: body, Headers: want, CorrelationID: anyBytes}
			if _, err := c.PublishMessage(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := ss.expect(wire.Publish)
			if !bytes.Equal(got.Headers, want.Encoded()) || string(got.CorrelationID) != anyBytes || !bytes.Equal(got.Body, body) {
				t.Errorf("headers %q, correlation id %q", got.Headers, got.CorrelationID)
			}
		}
		publish(t, c, 3)
		if got := ss.expect(wire.Publish); got.Headers != nil || got.CorrelationID != nil {
			t.Errorf("a message without headers has %q", got.Headers)
		}
		var bad *client.HeadersError
		m := &pubstore.Message{Topic: "orders", Headers: headers("no blanks", "v")}
		if _, err := c.PublishMessage(t.Context(), m); !errors.As(err, &bad) || bad.Key != "no blanks" {
			t.Errorf("%v", err)
		}
	})
}

// Headers arrive alone and in a stretch. Each message has its own ones, and a copy stays valid.
func TestHeadersArrive(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		one := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		sub := ss.acceptSubscribe("0")
		s := must(t, one)
		var stretched wire.OpenStretch
		frame := stretched.Begin(nil, sub.SubID)
		var want []string
		for seq := range uint64(30) {
			seq++
			var h client.Headers
			if seq%3 != 1 {
				h = headers("n", fmt.Sprint(seq), "any", strings.Repeat(anyBytes, int(seq)))
			}
			want = append(want, h.Get("n")+h.Get("any"))
			if seq%5 > 0 {
				raw, err := record.Append(nil, &record.Record{Kind: record.Message, Publisher: 5, Sequence: seq, Prev: seq - 1, Topic: []byte("orders"), Headers: h.Encoded()})
				if err != nil {
					t.Fatal(err)
				}
				frame = stretched.Add(frame, 0, raw)
				continue
			}
			ss.send(frame)
			frame = stretched.Begin(nil, sub.SubID)
			d := wire.Delivery{Topic: []byte("orders"), SubIDs: sub.SubID, Headers: h.Encoded()}
			d.Bookmark = client.Bookmark{Publisher: 5, Sequence: seq}
			ss.send(d.AppendTo(nil))
		}
		var got []string
		var clones []*client.Message
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			got, clones = append(got, m.Headers.Get("n")+m.Headers.Get("any")), append(clones, m.Clone())
			if len(got) == len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		ss.deliver(sub, 31) // reuses the memory of a message that had headers
		for m := range s.Messages(testContext(t)) {
			if m.Headers.Len() > 0 && m.Bookmark.Sequence == 31 {
				t.Errorf("message 31 has the headers %v", m.Headers.Keys())
			}
			if m.Discard(); m.Bookmark.Sequence == 31 {
				break
			}
		}
		for i, m := range clones {
			if m.Headers.Get("n")+m.Headers.Get("any") != want[i] {
				t.Errorf("a copy of message %d has changed: %q", i+1, m.Headers.Encoded())
			}
		}
	})
}

// Headers that no message may have break the protocol.
func TestInvalidHeadersArrive(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		lost := make(chan error, 10)
		cfg := config(n, "a")
		cfg.Hooks.Disconnected = func(_ string, err error) { lost <- err }
		c := start(t, cfg)
		one := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		sub := ss.acceptSubscribe("0")
		must(t, one)
		d := wire.Delivery{Topic: []byte("orders"), SubIDs: sub.SubID, Headers: []byte("x")}
		ss.send(d.AppendTo(nil))
		if err := <-lost; !errors.Is(err, client.ErrProtocol) {
			t.Error(err)
		}
	})
}

// A server without our extensions gets no headers, and only base-64 characters in a correlation id.
func TestHeadersAtPlainServers(t *testing.T) {
	runPlain(t, plain.Rules{}, func(t *testing.T, g *plainGroup, _ plain.Version) {
		var failed []*client.RejectedError
		cfg := g.config("me", &failed)
		cfg.StartOffline = true
		g.servers[0].Kill()
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		add := func(m pubstore.Message) error {
			m.Topic = "orders"
			_, err := c.PublishMessage(t.Context(), &m)
			return err
		}
		for _, m := range []pubstore.Message{
			{Body: []byte("1")}, {Headers: headers("k", "v"), Body: []byte("2")}, {CorrelationID: "abc-d", Body: []byte("3")}, {CorrelationID: "abc+", Body: []byte("4")},
		} {
			if err := add(m); err != nil {
				t.Fatalf("before the first logon: %v", err)
			}
		}
		g.start(0)
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		var unsupported *client.UnsupportedError
		if err := add(pubstore.Message{Headers: headers("k", "v")}); !errors.As(err, &unsupported) || unsupported.Field != "Headers" {
			t.Errorf("headers: %v", err)
		}
		if err := add(pubstore.Message{CorrelationID: "ab\u00e9"}); !errors.As(err, &unsupported) ||
			*unsupported != (client.UnsupportedError{Field: "CorrelationID", Char: '\u00e9', Offset: 2}) {
			t.Errorf("correlation id: %v", err)
		}
		if err := add(pubstore.Message{Body: []byte("5")}); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if got := g.bodies(0); !slices.Equal(got, []string{"1", "4", "5"}) {
			t.Errorf("the server has %q", got)
		}
		if len(failed) != 2 || string(failed[0].Message.Body) != "2" || string(failed[1].Message.Body) != "3" ||
			!errors.As(failed[0], &unsupported) || errors.Is(failed[0], client.ErrOutcomeUnknown) || failed[0].Message.Headers.Get("k") != "v" {
			t.Errorf("rejected: %v", failed)
		}
		if u := c.Stats().Publish.Outstanding; u.Messages > 0 {
			t.Errorf("%d messages are in the store", u.Messages)
		}
	}, "a")
}

// With DropHeaders such a server gets the messages without their headers.
func TestDropHeaders(t *testing.T) {
	runPlain(t, plain.Rules{}, func(t *testing.T, g *plainGroup, _ plain.Version) {
		var failed []*client.RejectedError
		cfg := g.config("me", &failed)
		cfg.DropHeaders = true
		c := start(t, cfg)
		synctest.Wait()
		if _, err := c.PublishMessage(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("1"), Headers: headers("k", "v")}); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if got := g.bodies(0); !slices.Equal(got, []string{"1"}) || len(failed) > 0 {
			t.Errorf("the server has %q, rejected: %v", got, failed)
		}
	}, "a")
}

// A frame without our extensions never has the key of the headers.
func TestDroppedHeadersAreNotSent(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.DropHeaders = true
		c := start(t, cfg)
		ss := srv.plainLogon(0)
		time.Sleep(time.Second)
		if _, err := c.PublishMessage(t.Context(), &pubstore.Message{Topic: "orders", Headers: headers("k", "v")}); err != nil {
			t.Fatal(err)
		}
		if m := ss.expect(wire.Publish); m.Headers != nil {
			t.Errorf("headers %q", m.Headers)
		}
	})
}
