package client_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A message longer than MaxFrame ends its subscription with an error that names both lengths, and
// ends nothing else. Otherwise it would come again on every connection. With a larger MaxFrame the
// subscription continues with that message.
func TestFrameTooLarge(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		const maxFrame = 64 << 10
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.MaxFrame, cfg.BookmarkStore = maxFrame, bookmarkstore.NewMemory()
		c := start(t, cfg)
		resumed := subscribe(t, c, client.ID("orders"), client.From(client.MostRecentOr(client.Epoch)))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, resumed)
		other := subscribe(t, c, client.From(client.Epoch))
		m2 := ss.acceptSubscribe("0")
		s2 := must(t, other)

		large := wire.Delivery{Topic: []byte("orders"), SubIDs: m.SubID, Body: make([]byte, 3*maxFrame)}
		large.Bookmark.Publisher, large.Bookmark.Sequence = 5, 2
		frame := large.AppendTo(nil)
		ss.deliver(m, 1)
		ss.send(frame)
		ss.deliver(m, 3)
		if got := read(t, s, 1); !slices.Equal(got, bodies(1)) {
			t.Errorf("read %q", got)
		}
		var tooLarge *client.FrameTooLargeError
		for m, err := range s.Messages(testContext(t)) {
			if !errors.As(err, &tooLarge) {
				t.Fatalf("%v, %v", m, err)
			}
		}
		if want := (client.FrameTooLargeError{Subscription: "orders", Topic: "orders", Bookmark: "5|2|", Size: int64(len(frame) - 4), MaxFrame: maxFrame}); *tooLarge != want {
			t.Errorf("%+v, want %+v", *tooLarge, want)
		}
		ss.expect(wire.Unsubscribe)
		ss.deliver(m2, 1, 2) // on the same connection
		if got := read(t, s2, 2); !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}

		cfg.MaxFrame = 4 * maxFrame
		c = start(t, cfg)
		resumed = subscribe(t, c, client.ID("orders"), client.From(client.MostRecentOr(client.Epoch)))
		ss, _ = srv.logon(0, 0)
		m = ss.acceptSubscribe("")
		if string(m.Bookmark) != "5|1|" {
			t.Errorf("resumed at %q", m.Bookmark)
		}
		s = must(t, resumed)
		large.SubIDs = m.SubID
		ss.send(large.AppendTo(nil))
		if got := read(t, s, 1); len(got) != 1 || len(got[0]) != 3*maxFrame {
			t.Errorf("read %d messages", len(got))
		}
	})
}

// A message that the application has discarded already is not too large.
func TestFrameTooLargeAgain(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.MaxFrame = 64 << 10
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, 1)
		large := wire.Delivery{Topic: []byte("orders"), SubIDs: m.SubID, Body: make([]byte, 66_000)}
		large.Bookmark.Publisher, large.Bookmark.Sequence = 5, 1
		ss.send(large.AppendTo(nil))
		ss.deliver(m, 2)
		if got := read(t, s, 2); !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
	})
}

// A frame of that length that is no message ends the connection, with the reason.
func TestFrameTooLargeNoMessage(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.MaxFrame = 64 << 10
		reasons := make(chan error, 1)
		cfg.Hooks.Disconnected = func(_ string, err error) {
			select {
			case reasons <- err:
			default:
			}
		}
		start(t, cfg)
		ss, _ := srv.logon(0, 0)
		frame := (&wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: "1"}).AppendTo(nil)
		frame = append(frame, make([]byte, 66_000)...)
		binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
		ss.send(frame)
		e, ok := errors.AsType[*client.FrameTooLargeError](<-reasons)
		if !ok || e.MaxFrame != 64<<10 || e.Size < 66_000 {
			t.Errorf("ended for %+v", e)
		}
	})
}
