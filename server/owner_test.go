package server_test

import (
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// Each instance of a pair shows the first user of a publisher as its owner.
func TestOwnersAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Config(func(c *server.Config) { c.Authenticator = asks(nil) }))
		joe := dial(t, pair.A)
		joe.send(`{"c":"logon","cid":"0","client_name":"gw","user_id":"joe","a":"processed"}`)
		if m := joe.message(); string(m.Status) != "success" {
			t.Fatalf("logon: %s", m.Reason)
		}
		joe.publish("orders", 1, 1)
		joe.awaitPersisted(1, "")
		for _, i := range []*servertest.Instance{pair.A, pair.B} {
			if list := i.Server().Publishers(0, 10).Publishers; len(list) != 1 || list[0].Owner != "joe" {
				t.Errorf("%+v", list)
			}
		}
	})
}
