package server_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/smalldisk"
	"github.com/holdfast-mq/holdfast/server"
)

// The disk of the audit log is full for a while. Clients do not notice. Each event is in the audit
// log or is counted there as missing, and each line is whole.
func TestAuditOnRealFullDisk(t *testing.T) {
	smalldisk.Run(t, "1m", func(dir string) {
		file, log := filepath.Join(dir, "audit.log"), new(recording)
		s, err := server.Start(server.Config{
			Name: "a", Data: t.TempDir(), Clients: server.ClientPort{Listen: "127.0.0.1:0"}, Log: server.LogConfig{Segment: 512 << 10},
			Logger: slog.New(slog.NewTextHandler(log, nil)), Audit: server.AuditConfig{File: file, MaxSize: 64 << 10, Keep: 2},
		})
		must(t, err)
		<-s.Ready()
		sessions := 0
		session := func() {
			c, err := client.Dial(t.Context(), client.Config{Name: "c", Servers: []string{"tcp://" + s.Addr().String() + "/amps/json"}})
			must(t, err)
			_, err = c.Publish(t.Context(), "orders", []byte("x"))
			must(t, err)
			must(t, c.FlushSafe(t.Context()))
			must(t, c.Close())
			sessions++
		}
		session()
		rest := smalldisk.Fill(t, dir)
		for s.Status().AuditDropped < 5 {
			session()
		}
		must(t, os.Remove(rest))
		for range 5 {
			session()
		}
		must(t, s.Close())

		counted := 0
		for _, name := range []string{file, file + ".1"} {
			text, err := os.ReadFile(name)
			if os.IsNotExist(err) {
				continue
			}
			must(t, err)
			for line := range strings.Lines(string(text)) {
				var l struct {
					Event string
					Lines int
				}
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Errorf("%v in %q", err, line)
				}
				switch l.Event {
				case "logon", "logoff":
					counted++
				case "dropped":
					counted += l.Lines
				}
			}
			info, err := os.Stat(name)
			must(t, err)
			if info.Mode() != 0o600 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
		}
		if counted != 2*sessions {
			t.Errorf("%d sessions have %d lines", sessions, counted)
		}
		failed, again := len(log.lines("the audit log cannot be written")), len(log.lines("the audit log is written again"))
		if failed == 0 || failed != again || failed > 50 {
			t.Errorf("the log has %d lines about the failure and %d about its end", failed, again)
		}
	})
}
