package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// accepted publishes one message and notes it if the store took it.
func accepted(s *cluster.System, app *cluster.App, taken *[]string, body string) error {
	ctx, cancel := s.Context()
	defer cancel()
	_, err := app.Client.Publish(ctx, "orders", []byte(body))
	if err == nil {
		*taken = append(*taken, body)
	}
	return err
}

func setGatewayName(c *client.Config) { c.Name = "gateway" }

// A fate is the outcome of the messages that an application has published: those that its
// store accepted, and the calls of its failed-write handler.
type fate struct {
	app                *cluster.App
	accepted, rejected []string
}

// follow notes the messages that a dead application publishes from its next start on.
func follow(app *cluster.App) *fate {
	f := &fate{app: app}
	app.Configure(func(c *client.Config) {
		told := c.Hooks.FailedWrite
		c.Hooks.FailedWrite = func(e *client.RejectedError) {
			told(e)
			f.rejected = append(f.rejected, string(e.Message.Body))
		}
	})
	return f
}

// publish publishes NAME-from to NAME-to, as far as the client takes it.
func (f *fate) publish(s *cluster.System, from, to int) {
	s.TB.Helper()
	for _, body := range cluster.Bodies(f.app.Name, from, to) {
		if err := accepted(s, f.app, &f.accepted, body); err != nil {
			s.TB.Errorf("%s: %v", body, err)
		}
	}
}

// kept returns the messages in the store of an application that is not dead.
func (f *fate) kept(s *cluster.System) []string {
	s.TB.Helper()
	if f.app.Client == nil {
		return nil
	}
	var kept []string
	for _, life := range f.app.Store.Lives() {
		cursor, err := f.app.Store.Cursor(life.ID, 0)
		if err != nil {
			s.TB.Fatal(err)
		}
		defer cursor.Close()
		for {
			var m pubstore.Message
			more, err := cursor.Next(&m)
			if err != nil {
				s.TB.Fatal(err)
			}
			if !more {
				break
			}
			kept = append(kept, string(m.Body))
		}
	}
	return kept
}

// check fails unless all that the store took is in the journal, or was
// rejected, or is kept.
func (f *fate) check(s *cluster.System, journal, kept []string) {
	s.TB.Helper()
	for _, body := range f.accepted {
		in, told := slices.Contains(journal, body), slices.Contains(f.rejected, body)
		switch {
		case in && told:
			s.TB.Errorf("%s was accepted and reported as rejected", body)
		case !in && !told && !slices.Contains(kept, body):
			s.TB.Errorf("%s was swallowed in silence", body)
		}
	}
}

// Case 11. Two copies of one store file are in use one after the other, or at once. A
// message that a copy publishes under a number that the other has used is never taken for
// the other's message: it is in the journals, or the failed-write handler gets it with a
// reason of its own, or the store keeps it. A copy is told, and goes on in a new life
// (R10, R11, G7).
func TestCase11CopiedStore(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(s *cluster.System, one, two *fate)
		told string // to the second one
	}{
		{"one after the other", oneAfterTheOther, "rolled back"},
		{"published offline", publishedOffline, "rolled back"},
		{"published more offline", publishedMoreOffline, "rolled back"},
		{"at once", atOnce, ""},
	} {
		for _, servers := range [][2]string{{"a", "a"}, {"a", "b"}, {"b", "a"}} {
			t.Run(tt.name+"/"+servers[0]+servers[1], func(t *testing.T) {
				cluster.Run(t, nil, func(s *cluster.System) {
					first := s.App("one", servers[:1], nil)
					first.PublishN("orders", 1, 5)
					first.FlushSafe()
					first.Kill()
					one, two := follow(first), follow(first.Copy("two"))
					two.app.Configure(func(c *client.Config) { c.Servers = s.Servers(servers[1]) })
					tt.run(s, one, two)
					s.Advance(2 * time.Minute)

					keptOne, keptTwo := one.kept(s), two.kept(s)
					if diverged(s) {
						t.Error("the instances have taken one number with two contents")
					}
					s.Finish()
					journal := s.Node("a").Bodies()
					s.CheckSame("a", "b")
					one.check(s, journal, keptOne)
					two.check(s, journal, keptTwo)
					if tt.told != "" && !containsEvent(two.app, tt.told) {
						t.Errorf("the copy was told %q, want something with %q", two.app.Events(), tt.told)
					}
				})
			})
		}
	}
}

// oneAfterTheOther has the copy connect when the other has gone on and left.
func oneAfterTheOther(s *cluster.System, one, two *fate) {
	one.app.Restart()
	one.publish(s, 6, 10)
	one.app.FlushSafe()
	one.app.Kill()
	two.app.Restart()
	two.publish(s, 6, 9)
}

// offline has the copy publish up to last before it connects; the other has
// gone on up to 10.
func offline(s *cluster.System, one, two *fate, last int) {
	one.app.Restart()
	one.publish(s, 6, 10)
	one.app.FlushSafe()
	one.app.Kill()
	for _, server := range []string{"a", "b"} {
		s.Cut("two", server)
	}
	two.app.Restart()
	two.publish(s, 6, last)
	for _, server := range []string{"a", "b"} {
		s.Heal("two", server)
	}
}

func publishedOffline(s *cluster.System, one, two *fate)     { offline(s, one, two, 10) }
func publishedMoreOffline(s *cluster.System, one, two *fate) { offline(s, one, two, 12) }

// atOnce has both publish at the same time.
func atOnce(s *cluster.System, one, two *fate) {
	one.app.Restart()
	two.app.Restart()
	for n := 6; n <= 200; n++ {
		one.publish(s, n, n)
		two.publish(s, n, n)
		s.Advance(137 * time.Millisecond)
	}
}

// diverged reports whether a link has found an identity with two contents.
func diverged(s *cluster.System) bool {
	for _, name := range []string{"a", "b"} {
		for _, link := range s.Node(name).Server.Status().Links {
			if link.Diverged > 0 {
				return true
			}
		}
	}
	return false
}

// pushedOut returns how often an application was told that its name is in use.
func pushedOut(app *cluster.App) (times int) {
	for _, e := range app.Events() {
		if strings.Contains(e, client.ErrNameInUse.Error()) {
			times++
		}
	}
	return times
}

func containsEvent(app *cluster.App, text string) bool {
	return slices.ContainsFunc(app.Events(), func(e string) bool { return strings.Contains(e, text) })
}
