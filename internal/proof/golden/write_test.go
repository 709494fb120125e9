package golden_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/golden"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

var version = flag.String("write", "", "the version whose archive TestWrite makes")

// TestWrite makes the archive of a version. Archives are never changed afterwards.
func TestWrite(t *testing.T) {
	if *version == "" {
		t.Skip("makes an archive, with -write VERSION, before a release")
	}
	archive := filepath.Join("testdata", *version+".tar.gz")
	if _, err := os.Stat(archive); err == nil {
		t.Fatalf("%s is there already: what a released version has written does not change", archive)
	}
	dir := t.TempDir()
	s := newSite(t, dir, new(recorder))
	s.start()
	sessions := s.live()
	if err := os.WriteFile(s.path("rejected"), []byte(s.rejected), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, r := range sessions {
		s.keep(name, r)
	}
	s.keep("link", s.links)
	if err := golden.Pack(dir, archive); err != nil {
		t.Fatal(err)
	}
}

// keep writes both directions of a connection to files.
func (s *site) keep(name string, r *recorder) {
	s.Helper()
	out, in := r.longest()
	for direction, b := range map[string][]byte{"out": out, "in": in} {
		if len(b) == 0 {
			s.Fatalf("%s: nothing recorded", name)
		}
		if err := os.WriteFile(s.path(name+"."+direction), b, 0o600); err != nil {
			s.Fatal(err)
		}
	}
}

// live has the clients publish and subscribe, through a rejection, an outage of b, and an end
// with messages that no server has. It returns the recorded sessions.
func (s *site) live() map[string]*recorder {
	s.Helper()
	s.pair.Intercept(func(c servertest.Command) servertest.Action {
		if string(c.Body) == rejectedBody {
			return servertest.Reject("not wanted")
		}
		return servertest.Pass
	})
	sessions := map[string]*recorder{gateway: new(recorder), auditor: new(recorder)}
	file, bolt, marks := s.file(), s.bolt(), s.bookmarks()
	g := s.dial(client.Config{Name: gateway, PublishStore: file, Hooks: client.Hooks{
		FailedWrite: func(e *client.RejectedError) { s.rejected = e.Reason },
	}}, sessions[gateway])
	s.publish(g, gateway, orders, 1, 20)
	if _, err := g.Publish(s.Context(), orders, []byte(rejectedBody)); err != nil {
		s.Fatal(err)
	}
	s.flush(g.FlushSafe)

	plain := s.pair.Client(feed)
	for i, uri := range plain.Servers {
		plain.Servers[i] = uri + "?ext=false"
	}
	f := s.dial(client.Config{Name: feed, Servers: plain.Servers}, nil)
	s.publish(f, feed, orders, 1, 5)
	s.flush(f.FlushSafe)
	d := s.dial(client.Config{Name: desk, PublishStore: bolt}, nil)
	s.publish(d, desk, fills, 1, 8)
	s.flush(d.FlushSafe)

	a := s.dial(client.Config{Name: auditor, BookmarkStore: marks}, sessions[auditor])
	s.audit(a)
	a.Close()

	s.pair.B.Kill()
	s.publish(g, gateway, orders, 21, 25)
	s.publish(d, desk, fills, 9, 10)
	s.flush(g.Flush)
	s.flush(d.Flush)
	s.pair.A.Close()
	s.publish(g, gateway, orders, 26, 27)
	for _, c := range []*client.Client{g, f, d} {
		c.Close()
	}
	for _, c := range []interface{ Close() error }{file, bolt, marks} {
		if err := c.Close(); err != nil {
			s.Fatal(err)
		}
	}
	return sessions
}

// audit receives the orders so far and discards some of them.
func (s *site) audit(c *client.Client) {
	s.Helper()
	sub, err := c.Subscribe(s.Context(), orders, client.ID(place), client.From(client.Epoch))
	if err != nil {
		s.Fatal(err)
	}
	n := 0
	for m, err := range sub.Messages(s.Context()) {
		if err != nil {
			s.Fatal(err)
		}
		if n++; n <= discarded || n == outOfOrder {
			if err := m.Discard(); err != nil {
				s.Fatal(err)
			}
		}
		if strings.HasPrefix(string(m.Body), feed+" 5") {
			break
		}
	}
}
