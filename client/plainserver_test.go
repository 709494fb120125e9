package client_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The client logs on once for each connection, and uses one connection, also at a server without
// our extensions. With ext=0 the logon does not mention them.
func TestOneLogon(t *testing.T) {
	for _, option := range []string{"", "?ext=0"} {
		run(t, func(t *testing.T, n *memnet.Network) {
			srv := listen(t, n, "a")
			cfg := config(n, "a")
			cfg.Servers[0] += option
			c := start(t, cfg)
			ss := srv.accept()
			m := ss.expect(wire.Logon)
			if extended := m.IsExt() || len(m.Store) > 0 || m.Counter > 0; extended != (option == "") || string(m.ClientName) != "me" {
				t.Errorf("%q: logon %+v", option, m)
			}
			ss.acceptPlainLogon(0)
			publish(t, c, 1)
			ss.expect(wire.Publish)
			srv.expectNoConnection(10 * time.Second)
		})
	}
}

// The client does not publish to a server without our extensions that lacks messages the store has
// let go, unless AllowPublishGap is set (R4).
func TestPlainPublishGap(t *testing.T) {
	for _, allow := range []bool{false, true} {
		run(t, func(t *testing.T, n *memnet.Network) {
			a, b := listen(t, n, "a"), listen(t, n, "b")
			var gaps []string
			cfg := config(n, "a", "b")
			cfg.AllowPublishGap = allow
			cfg.Hooks.PublishGap = func(server string) { gaps = append(gaps, server) }
			c := start(t, cfg)
			ss := a.plainLogon(0)
			publish(t, c, 1, 2, 3)
			base := ss.expect(wire.Publish).Sequence - 1
			ss.expectPublishes(base+2, base+3)
			ss.persisted(base + 2)
			synctest.Wait()
			ss.close()
			ss = b.plainLogon(base + 1) // lacks 2, which was acknowledged
			if allow {
				ss.expectPublishes(base + 3)
				return
			}
			if m := ss.next(); m != nil {
				t.Fatalf("client sent %v to a server with a gap", m.Command)
			}
			a.plainLogon(base + 3)
			if err := c.FlushSafe(testContext(t)); err != nil {
				t.Error(err)
			}
			if len(gaps) != 1 || c.Stats().Publish.GapRefusals != 1 {
				t.Errorf("gaps at %v", gaps)
			}
		})
	}
}

// Messages that were let go before a store was first used with such servers do not count there.
func TestPlainPublishGapBeforeTheBase(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1, 2)
		ss.expectPublishes(1, 2)
		ss.persisted(2)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Fatal(err)
		}
		ss.close()
		srv.plainLogon(0).close()
		srv.plainLogon(0).close() // no number below the base was ever sent
		c.Close()
		c = start(t, cfg)
		ss = srv.plainLogon(0)
		publish(t, c, 3)
		base := ss.expect(wire.Publish).Sequence - 3
		ss.persisted(base + 3)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Fatal(err)
		}
		ss.close()
		if m := srv.plainLogon(base + 2).next(); m != nil {
			t.Errorf("client sent %v to a server with a gap", m.Command)
		}
	})
}

// A server without our extensions closes the older connection of a client name without a message.
// Two processes with one name do not push each other out for ever (R11).
func TestPlainNameInUse(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var ended []error
		cfg := config(n, "a")
		cfg.Hooks.Disconnected = func(_ string, err error) { ended = append(ended, err) }
		start(t, cfg)
		var pushed time.Time
		for i, seconds := range []time.Duration{0, 0, 0, 5, 10, 20, 40, 60, 60} {
			ss := srv.plainLogon(0)
			d := time.Since(pushed)
			if want := seconds * time.Second; d < want || i >= 3 && d > want+6*time.Second {
				t.Errorf("connection %d after %v, want %v", i, d, want)
			}
			time.Sleep(time.Second)
			ss.close()
			pushed = time.Now()
		}
		srv.plainLogon(0)
		for i, err := range ended {
			if errors.Is(err, client.ErrNameInUse) != (i >= 2) {
				t.Errorf("connection %d ended with %v", i, err)
			}
		}
		if len(ended) != 9 {
			t.Errorf("%d connections reported", len(ended))
		}
	})
}

// A connection that is lost after a while, or for another reason, does not count.
func TestPlainServerIsLost(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var ended []error
		cfg := config(n, "a")
		cfg.Hooks.Disconnected = func(_ string, err error) { ended = append(ended, err) }
		start(t, cfg)
		for i := range 9 {
			ss := srv.plainLogon(0)
			if time.Sleep(time.Second); i%3 == 2 {
				time.Sleep(5 * time.Second)
			}
			ss.close()
		}
		for range 4 {
			srv.plainLogon(0).refuse("disk full")
		}
		srv.plainLogon(0)
		for i, err := range ended {
			if errors.Is(err, client.ErrNameInUse) {
				t.Errorf("connection %d ended with %v", i, err)
			}
		}
	})
}

// Config.MaxMessage is the limit at servers that state none.
func TestLargeMessages(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		const size = 20 << 20
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		c := start(t, cfg)
		var large *client.TooLargeError
		if _, err := c.Publish(t.Context(), "orders", make([]byte, size)); !errors.As(err, &large) || !strings.Contains(err.Error(), "Config.MaxMessage") {
			t.Errorf("20 MiB by default: %v", err)
		}
		srv.plainLogon(0)
		c.Close()

		cfg.MaxMessage = 2 * size
		c = start(t, cfg)
		if _, err := c.Publish(t.Context(), "orders", make([]byte, size)); !errors.As(err, &large) || !strings.Contains(err.Error(), "MaxMessage or MaxBytes of the publish store") {
			t.Errorf("20 MiB and a store of the default: %v", err)
		}
		srv.plainLogon(0)
		c.Close()

		cfg.MaxFrame = 2 * size
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{MaxMessage: 2 * size})
		c = start(t, cfg)
		ss := srv.plainLogon(0)
		if _, err := c.Publish(t.Context(), "orders", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if m := ss.expect(wire.Publish); len(m.Body) != size {
			t.Errorf("%d bytes arrive", len(m.Body))
		}
		ss.close()
		srv.logon(0, 0) // this one states a limit
		synctest.Wait()
		if _, err := c.Publish(t.Context(), "orders", make([]byte, size)); !errors.As(err, &large) || !strings.Contains(err.Error(), "the server's") {
			t.Errorf("20 MiB at a server of 1: %v", err)
		}
	})
}
