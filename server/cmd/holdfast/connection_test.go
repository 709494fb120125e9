package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// A shell exports the servers and the name once for all commands; flags win over them.
func TestServersFromEnvironment(t *testing.T) {
	lone := startLone(t, nil)
	const nobody = "tcp://127.0.0.1:1/amps/json"
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_SERVERS", nobody+", "+uri(lone.Addr()))
	if code, text := command("publish", "--topic", "t", "--file", in, "--timeout", "30s"); code != exitOK {
		t.Errorf("publish: %d, %s", code, text)
	}
	if code, text := command("ping", "--json"); code != exitFault || strings.Count(text, "\n") != 2 {
		t.Errorf("ping of both: %d, %s", code, text)
	}
	if code, text := command("ping", uri(lone.Addr())); code != exitOK {
		t.Errorf("ping of an argument: %d, %s", code, text)
	}
	t.Setenv("HOLDFAST_SERVERS", nobody)
	t.Setenv("HOLDFAST_NAME", "in [brackets]")
	if code, text := command("subscribe", "--topic", "t"); code != exitUsage || !strings.Contains(text, "in [brackets]") {
		t.Errorf("name: %d, %s", code, text)
	}
	if code, text := command("subscribe", "--name", "me", "--topic", "t", "--from", "epoch", "--count", "2",
		"--server", uri(lone.Addr()), "--server", nobody+","+nobody); code != exitOK || text != "one\ntwo\n" {
		t.Errorf("flags: %d, %s", code, text)
	}
	t.Setenv("HOLDFAST_SERVERS", "tcp://u:12,s3cret@127.0.0.1:1")
	for _, args := range [][]string{{"ping"}, {"publish", "--topic", "t"}, {"subscribe", "--topic", "t"}} {
		if code, text := command(args...); code != exitUsage || strings.Contains(text, "s3cret") {
			t.Errorf("%s with a bad URI: %d, %s", args[0], code, text)
		}
	}
	t.Setenv("HOLDFAST_SERVERS", "")
	for _, args := range [][]string{{"ping"}, {"publish", "--topic", "t"}, {"subscribe", "--topic", "t"}} {
		if code, text := command(args...); code != exitUsage || !strings.Contains(text, "HOLDFAST_SERVERS") {
			t.Errorf("%s without servers: %d, %s", args[0], code, text)
		}
	}
	t.Setenv("HOLDFAST_PASSWORD", "s3cret")
	if code, text := command("ping", nobody); code != exitUsage || !strings.Contains(text, "HOLDFAST_PASSWORD_FILE") || strings.Contains(text, "s3cret") {
		t.Errorf("password: %d, %s", code, text)
	}
}

// The help of each command shows the variables of its flags. A measurement takes its servers from flags
// alone, so that it does not load servers by mistake.
func TestHelpShowsVariables(t *testing.T) {
	access := []string{"USER", "PASSWORD_FILE", "AUTH", "TLS_CA", "TLS_CERT", "TLS_KEY"}
	for command, variables := range map[string][]string{
		"publish":       append(access, "SERVERS", "NAME"),
		"subscribe":     append(access, "SERVERS", "NAME"),
		"ping":          append(access, "SERVERS"),
		"bench publish": access,
		"status":        {"ADMIN_TOKEN_FILE", "TLS_CA", "TLS_CERT", "TLS_KEY"},
		"admin single":  {"ADMIN_TOKEN_FILE", "TLS_CA", "TLS_CERT", "TLS_KEY"},
	} {
		var help bytes.Buffer
		if code := run(append(strings.Fields(command), "--help"), &help, &help); code != exitOK {
			t.Fatalf("%s: %d", command, code)
		}
		shown := regexp.MustCompile(`\$HOLDFAST_\w+`).FindAllString(help.String(), -1)
		var want []string
		for _, name := range variables {
			want = append(want, "$HOLDFAST_"+name)
		}
		slices.Sort(shown)
		slices.Sort(want)
		if !slices.Equal(shown, want) {
			t.Errorf("%s shows %v, want %v", command, shown, want)
		}
	}
}
