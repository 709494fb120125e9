package server_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// lines returns the log lines that contain a text.
func (o *recording) lines(with string) (found []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.buf.String()) {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

func withLog(t *testing.T) (*servertest.Instance, *recording) {
	log := new(recording)
	return servertest.New(t, servertest.Config(func(c *server.Config) {
		c.Log.Topics = []string{"^orders"}
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})), log
}

// A client causes at most one warning per kind in ten minutes, with the number of lines left out.
// Long values are shortened.
func TestLogBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, log := withLog(t)
		c := dial(t, i)
		c.logon("pubber")
		publish := `{"c":"p","t":"/AMPS/` + strings.Repeat("x", 200) + `"}`
		const messages = 1000
		for n := range uint64(messages) {
			c.send(fmt.Sprintf(`{"c":"subscribe","cid":"%d","t":"(","a":"processed"}`, n))
			c.send(publish)
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		c.send(publish)
		synctest.Wait()
		if n := len(log.lines("publish refused")); n > 1 {
			t.Errorf("%d lines in two seconds", n)
		}
		time.Sleep(10 * time.Minute)
		c = dial(t, i)
		c.logon("pubber")
		c.send(publish)
		synctest.Wait()
		refused := log.lines("publish refused")
		if len(refused) == 0 {
			t.Fatal("nothing is logged")
		}
		if len(refused) != 2 || !strings.Contains(refused[1], fmt.Sprintf("left_out=%d", messages)) {
			t.Errorf("%d lines, the last one %s", len(refused), refused[len(refused)-1])
		}
		for _, line := range refused {
			if len(line) > 600 || !strings.Contains(line, "… (206 bytes)") {
				t.Errorf("a line of %d bytes: %s", len(line), line)
			}
		}
		c.conn.Close()
		time.Sleep(time.Minute)
		if gone := log.lines("client gone"); len(gone) != 2 || !strings.Contains(gone[0], "left_out=") {
			t.Errorf("%s", gone)
		}
	})
}

// Clients that come and go cause at most a fixed number of log lines per second.
func TestLogBoundsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, log := withLog(t)
		began := time.Now()
		for n := range 300 {
			c := dial(t, i)
			c.logon(fmt.Sprint("client-", n))
			c.conn.Close()
			synctest.Wait()
		}
		seconds := int(time.Since(began)/time.Second) + 1
		if n := len(log.lines("client gone")); n == 0 || n > 50*seconds {
			t.Errorf("%d lines in %d s", n, seconds)
		}
		time.Sleep(time.Minute)
		c := dial(t, i)
		c.logon("last")
		c.conn.Close()
		time.Sleep(time.Minute)
		if gone := log.lines("left_out"); len(gone) == 0 {
			t.Error("nothing says that lines were left out")
		}
	})
}
