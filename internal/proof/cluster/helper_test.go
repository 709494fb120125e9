package cluster_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// withThird runs a scenario on a pair whose two instances also feed c,
// asynchronously. c has no destinations.
func withThird(t *testing.T, scenario func(*cluster.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := cluster.New(t)
		feed := func(c *server.Config) {
			c.Replication.Destinations = append(c.Replication.Destinations,
				server.Destination{Name: "c", Address: "c:9107", Ack: "async"})
		}
		s.Add("c", nil).Start()
		s.Add("a", feed, "b").Start()
		s.Add("b", feed, "a").Start()
		s.AwaitSync()
		scenario(s)
		s.Finish()
	})
}

// logged configures instances that log some topics only.
func logged(topics ...string) func(*server.Config) {
	return func(c *server.Config) { c.Log.Topics = topics }
}

// rejections returns the calls of the failed-write handler, in order.
func rejections(app *cluster.App) []string {
	var told []string
	for _, e := range app.Events() {
		if strings.HasPrefix(e, "rejected ") {
			told = append(told, e)
		}
	}
	return told
}

func wantRejections(s *cluster.System, app *cluster.App, want ...string) {
	s.TB.Helper()
	if got := rejections(app); !slices.Equal(got, want) {
		s.TB.Errorf("the failed-write handler of %s was told %q, want %q", app.Name, got, want)
	}
}

// retain configures a short retention in small segments.
func retain(age time.Duration) func(*server.Config) {
	return func(c *server.Config) {
		c.Log.Segment = 64 << 10
		c.Log.Retain = server.Duration(age)
	}
}

// publishLong publishes NAME-from to NAME-to, each with a kilobyte after it.
func publishLong(s *cluster.System, a *cluster.App, topic string, from, to int) {
	s.TB.Helper()
	for _, body := range cluster.Bodies(a.Name, from, to) {
		a.Publish(topic, body+strings.Repeat(" ", 1<<10))
	}
}

// trimBodies removes the kilobyte that publishLong has added.
func trimBodies(bodies []string) []string {
	short := make([]string, len(bodies))
	for i, b := range bodies {
		short[i] = strings.TrimSpace(b)
	}
	return short
}

// floor returns how far retention has removed a publisher's messages on an instance, as
// reported to a subscription that begins after the first of them.
func floor(s *cluster.System, name, topic string, publisher *cluster.App) uint64 {
	s.TB.Helper()
	probe := s.App("floor-of-"+publisher.Name+"-on-"+name, []string{name}, nil)
	ctx, cancel := s.Context()
	defer cancel()
	first := client.Bookmark{Publisher: publisherID(publisher), Sequence: 1}
	_, err := probe.Client.Subscribe(ctx, topic, client.From(client.After(first)))
	var gap *client.GapError
	if !errors.As(err, &gap) {
		return 0
	}
	for _, g := range gap.Gaps {
		if g.Publisher == first.Publisher {
			return g.To
		}
	}
	return 0
}

// publisherID returns the id of the newest life of an application's store.
func publisherID(a *cluster.App) uint64 {
	lives := a.Store.Lives()
	return bookmark.IdentityOfLife(lives[len(lives)-1].ID).ID
}
