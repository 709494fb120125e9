package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// An outage is reported at once, and again now and then.
func TestOutageIsReportedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var output bytes.Buffer
		c := new(connectionFlags).newConnection(newScreen(&output, false), nil)
		for range 80 { // attempts, one a second
			c.disconnected("tcp://a:9107", errors.New("EOF"))
			time.Sleep(time.Second)
		}
		c.connected(client.ServerInfo{Server: "tcp://a:9007"})
		text := output.String()
		if n := strings.Count(text, "check that one runs there"); n != 3 || strings.Count(text, "\n") != 5 {
			t.Errorf("reported %d times in 80 s, want 3 beside the first and the last line:\n%s", n, text)
		}
	})
}
