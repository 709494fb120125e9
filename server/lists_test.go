package server_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A list in a response of the admin port is never null, also if it is empty.
func TestListsAreNeverNull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, subscribed := range []bool{false, true} {
			i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Admin.Listen = "a:8085" }))
			if subscribed { // and nothing is behind
				c := dial(t, i)
				c.logon("reader")
				c.send(`{"c":"subscribe","cid":"1","sub_id":"s","t":"a","a":"processed"}`)
				c.next()
			}
			synctest.Wait()
			for _, path := range []string{"/status", "/status?list=publishers", "/status?list=subscriptions", "/status?list=degraded", "/publishers", "/lag", "/actions", "/insync", "/readyz"} {
				c := dialAdmin(t, i)
				c.bytes("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				answer, _ := io.ReadAll(c.conn)
				_, body, found := strings.Cut(string(answer), "\r\n\r\n")
				if !found || !json.Valid([]byte(body)) {
					t.Errorf("%s: %s", path, answer)
				} else if strings.Contains(body, ":null") || strings.Contains(body, ": null") {
					t.Errorf("subscribed %v: %s has a null: %s", subscribed, path, body)
				}
			}
		}
	})
}
