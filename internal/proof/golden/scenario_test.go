package golden_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The topics and the clients of the scenario. The gateway has its publish store in a directory,
// the desk in a database, and the feed none: it speaks the plain protocol.
const (
	orders, fills = "orders", "fills"
	gateway       = "gateway"
	desk          = "desk"
	feed          = "feed"
	auditor       = "auditor"
	place         = "all" // id of the auditor's subscription
	rejectedBody  = "refuse this one"
)

// discarded and outOfOrder are messages of orders that the auditor discards before it ends: the
// first ones, and one further on. Those between them come again.
const discarded, outOfOrder = 12, 15

// A site is a pair on real disks, with the clients' stores beside the journals.
type site struct {
	*testing.T
	dir   string
	pair  *servertest.Pair
	links *recorder // of the links' connections, nil if nobody wants them

	rejected string // reason of the rejection that the gateway was told
}

// newSite returns a site on a directory. The pair is not started.
func newSite(t *testing.T, dir string, links *recorder) *site {
	t.Helper()
	s := &site{T: t, dir: dir, links: links}
	s.pair = servertest.NewPair(t, servertest.Real(), servertest.Unstarted(), servertest.DowngradeAfter(300*time.Millisecond))
	for _, i := range []*servertest.Instance{s.pair.A, s.pair.B} {
		i.Configure(func(c *server.Config) {
			c.Data = s.path("journal-" + c.Name)
			c.Log.Segment = 64 << 10
			if links != nil {
				c.Dial = links.dialPeer
			}
		})
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) start() {
	s.Helper()
	s.pair.A.Restart()
	s.pair.B.Restart()
	s.pair.AwaitReady()
}

// file opens the gateway's publish store.
func (s *site) file() *pubstore.File {
	s.Helper()
	store, err := pubstore.OpenFile(s.path("gateway-store"), pubstore.FileOptions{
		SegmentBytes: 64 << 10, BootID: func() (string, error) { return "the only boot", nil },
	})
	if err != nil {
		s.Fatal(err)
	}
	return store
}

// bolt opens the desk's publish store.
func (s *site) bolt() *pubstore.Bolt {
	s.Helper()
	store, err := pubstore.OpenBolt(s.path("desk.db"), pubstore.BoltOptions{
		BootID: func() (string, error) { return "the only boot", nil },
	})
	if err != nil {
		s.Fatal(err)
	}
	return store
}

// bookmarks opens the auditor's bookmark store.
func (s *site) bookmarks() *bookmarkstore.Bolt {
	s.Helper()
	store, err := bookmarkstore.OpenBolt(s.path("auditor.db"), bookmarkstore.BoltOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return store
}

// dial starts a client. Its connections are recorded if into is not nil.
func (s *site) dial(cfg client.Config, into *recorder) *client.Client {
	s.Helper()
	base := s.pair.Client(cfg.Name)
	if cfg.Servers == nil {
		cfg.Servers = base.Servers
	}
	cfg.Dial, cfg.Logger = base.Dial, base.Logger
	if into != nil {
		cfg.Dial = into.dial
	}
	c, err := client.Dial(s.Context(), cfg)
	if err != nil {
		s.Fatal(err)
	}
	return c
}

// headersOf returns the headers of a message, by its body. The feed has no extensions, so its
// messages have none.
func headersOf(body string) (h client.Headers) {
	if strings.HasSuffix(body, "4") && !strings.HasPrefix(body, feed) {
		h.Set("body", body)
		h.Set("any", "\x00\xff")
	}
	return h
}

// publish publishes messages with the numbers from to to in their bodies, after the client's name.
func (s *site) publish(c *client.Client, name, topic string, from, to int) {
	s.Helper()
	for n := from; n <= to; n++ {
		m := &pubstore.Message{Topic: topic, Body: fmt.Appendf(nil, "%s %d", name, n)}
		if n%3 == 0 {
			m.CorrelationID = fmt.Sprint("id", n)
		}
		m.Headers = headersOf(string(m.Body))
		if _, err := c.PublishMessage(s.Context(), m); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *site) flush(wait func(context.Context) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	if err := wait(ctx); err != nil {
		s.Fatal(err)
	}
}
