package client

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// BenchmarkDispatch measures a delivery from its bytes to the handler (a part of B8): a delivery in
// the server's format is parsed, routed to its subscription, checked against the bookmark store,
// queued, given to the handler and discarded.
func BenchmarkDispatch(b *testing.B) {
	c, err := newClient(benchConfig(b))
	if err != nil {
		b.Fatal(err)
	}
	s, err := c.newSubscription("orders", []SubscribeOption{From(Epoch), WithTime()})
	if err != nil {
		b.Fatal(err)
	}
	cn := newConn(c, c.core, nil)
	cn.routes["s"] = route{s, "s"}
	s.cn = cn
	if _, err := s.core.Attach(&cn.server, "s", s.core.Received(), time.Now()); err != nil {
		b.Fatal(err)
	}

	d := wire.Delivery{Topic: []byte("orders"), SubIDs: []byte("s"), Timestamp: 1767323045678901, Body: make([]byte, 256)}
	d.Bookmark.Publisher = 7094790850998930143
	frames := make([][]byte, 1000)
	next := func() {
		for i := range frames {
			d.Bookmark.Sequence++
			frames[i] = d.AppendTo(frames[i][:0])
		}
	}
	var m wire.Message
	var last *Message
	b.SetBytes(256)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%len(frames) == 0 {
			b.StopTimer()
			next()
			b.StartTimer()
		}
		if err := wire.Parse(frames[n%len(frames)][4:], &m); err != nil {
			b.Fatal(err)
		}
		if err := cn.dispatch(&m); err != nil {
			b.Fatal(err)
		}
		got, _, err := s.takeNext(last)
		if err != nil || got.m == nil {
			b.Fatal("nothing was queued", err)
		}
		if last = got.m; last.Discard() != nil {
			b.Fatal("discard")
		}
	}
}

func benchConfig(b *testing.B) Config {
	cfg, err := Config{Name: "me", Servers: []string{"tcp://a:9007/amps/json"}}.validate()
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}
