package client

import (
	"strings"
	"testing"
)

// FuzzURI parses any text as the address of a server. Neither the error nor the shown URI has the
// password, and another host can be set in it.
func FuzzURI(f *testing.F) {
	for _, text := range []string{
		"tcp://a:9007/amps/json", "tcps://joe:hunter2@a.example:9007/amps/json?tcp_nodelay=false&tcp_sndbuf=65536", "unix:///amps?path=/tmp/a",
		"tcp://[::1]:9007", "ws://a:1", "tcp://joe:hunter2@:9007", "tcp://a:9007/x", "joe:hunter2@a", "tcp:a", "tcp://a:9007?x=%zz", "tcp://joe:hunter2@a:99999/",
		"tcp://a:9007/amps/json?bind=b:1&ip_protocol_prefer=ipv6", "tcp://joe:hunter2@a:b:c", "%", "\x00", "tcp://joe:hunter2@a:9007/amps/json/x?y",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseURI(text)
		if err != nil {
			if strings.Contains(text, ":hunter2@") && strings.Contains(err.Error(), "hunter2") && strings.Count(text, "hunter2") == 1 {
				t.Errorf("%q: the error shows the password: %v", text, err)
			}
			return
		}
		if u.password != "" && u.parsed.User.String() != u.password && strings.Contains(u.String(), ":"+u.password+"@") && u.password != "xxxxx" {
			t.Errorf("%q is shown as %s", text, u)
		}
		if u.network == "unix" || strings.ContainsAny(u.host, "%") {
			return
		}
		other, err := parseURI(u.withHost("other"))
		if err != nil || other.host != "other" || other.user != u.user || other.password != u.password || other.messageType != u.messageType {
			t.Errorf("%q with another host: %v, %v", text, other, err)
		}
	})
}
