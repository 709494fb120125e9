package client_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// One logon for each connection, and one connection, also at a server without our
// extensions; with ext=0 the logon does not speak of them.
func TestOneLogon(t *testing.T) {
	for _, option := range []string{"", "?ext=0"} {
		run(t, func(t *testing.T, n *memnet.Network) {
			srv := listen(t, n, "a")
			cfg := config(n, "a")
			cfg.Servers[0] += option
			c := start(t, cfg)
			ss := srv.accept()
			m := ss.expect(wire.Logon)
			if said := m.IsExt() || len(m.Store) > 0 || m.Counter > 0; said != (option == "") || string(m.ClientName) != "me" {
				t.Errorf("%q: logon %+v", option, m)
			}
			ss.plainWelcome(0)
			publish(t, c, 1)
			ss.expect(wire.Publish)
			srv.none(10 * time.Second)
		})
	}
}
