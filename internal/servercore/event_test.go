package servercore_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A session reports the events that belong in an audit log, each once. A message that was accepted
// before its topic was forbidden is not reported when it is sent again.
func TestEvents(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		names := map[servercore.EventKind]string{
			servercore.EventLogon: "logon", servercore.EventPublishRefused: "publish", servercore.EventSubscribeRefused: "subscribe",
			servercore.EventLimit: "limit", servercore.EventPermissionsChange: "end",
		}
		var events []string
		s.inst.OnEvent = func(of *servercore.Session, e servercore.Event) {
			info, ok := of.Info()
			events = append(events, strings.TrimSpace(fmt.Sprintln(names[e.Kind], info.User, ok, e.Topic, e.Reason)))
		}
		want := func(want ...string) {
			t.Helper()
			if strings.Join(events, ", ") != strings.Join(want, ", ") {
				t.Errorf("the events are %q instead of %q", events, want)
			}
			events = nil
		}
		agree := true
		s.inst.MayReject = func(_, _ uint64) bool { return agree }
		publish := func(c *client, topic string, sequence uint64) {
			t.Helper()
			if err := c.publish(topic, sequence, "x"); err != nil {
				t.Fatal(err)
			}
			s.sync()
		}
		c := s.user("u", &servercore.Permissions{})
		want("logon u true")
		publish(c, "a", 1)
		c.core.SetPermissions(&servercore.Permissions{Publish: only("b"), Subscribe: only("b"), Limits: servercore.UserLimits{Subscriptions: 1}})
		publish(c, "a", 1)
		publish(c, "b", 2)
		want()
		publish(c, "a", 3)
		want("publish u true a not entitled")
		if err := c.send(&wire.PublishCommand{Topic: "a", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		want("publish u true a not entitled")
		for _, topic := range []string{"a", "b", ".*"} {
			if err := c.subscribe(topic, topic, "", ""); err != nil {
				t.Fatal(err)
			}
		}
		want("subscribe u true a not entitled", "limit u true .* too many subscriptions")
		c.out()
		c.core.SetPermissions(&servercore.Permissions{Publish: only(), Subscribe: only()})
		c.out()
		want("subscribe u true b not entitled")
		agree = false
		if err := c.publish("a", 4, "x"); err == nil {
			t.Error("the session goes on")
		}
		want("publish u true a permissions differ")
		c.core.SetPermissions(nil) // it ends already
		want()
		s.inst.Registry.Remove(c.core)
		c = s.user("u", &servercore.Permissions{})
		c.core.SetPermissions(nil)
		want("logon u true", "end u true  auth failure: the user may not log on any more")
	})
}
