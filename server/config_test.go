package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

const goodConfig = `name: a
group: pair
data: ./data/a
clients:
  listen: 127.0.0.1:9007
replication:
  listen: 127.0.0.1:9107
  destinations:
    - name: b
      address: 127.0.0.1:9108
      ack: sync
      topics: ["^important_topic$"]
      downgrade_after: 5s
      upgrade_within: 2.5s
min_sync: 0
hold: 0
admin:
  listen: 127.0.0.1:8085
log: {topics: [".*"], retain: 168h, retain_bytes: 0, min_free: 5%, segment: 64MiB}
rejoin_timeout: 10s
drain_timeout: 10s
max_message: 16MiB
`

func TestConfig(t *testing.T) {
	cfg, err := parseConfig("a.yaml", []byte(goodConfig))
	if err != nil {
		t.Fatal(err)
	}
	d := cfg.Replication.Destinations[0]
	if cfg.Name != "a" || d.Name != "b" || time.Duration(d.UpgradeWithin) != 2500*time.Millisecond ||
		cfg.Log.MinFree != (Share{Percent: 5}) || cfg.Log.Segment != 64<<20 || cfg.MaxMessage != 16<<20 || d.Topics[0] != "^important_topic$" {
		t.Errorf("read %+v", cfg)
	}
}

// Each problem has its line, also in a file with the line ends of Windows.
func TestConfigErrors(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(goodConfig, old) {
			t.Fatalf("%q is not in the config", old)
		}
		return strings.Replace(goodConfig, old, new, 1)
	}
	for _, tt := range []struct {
		name, text, want string
	}{
		{"empty", "", "a.yaml: name is missing"},
		{"comment only", "# nothing\n", "a.yaml: name is missing"},
		{"unknown key", replace("hold: 0", "hodl: 0"), `a.yaml:16: unknown field "hodl"`},
		{"unknown key inside", replace("ack: sync", "ackk: sync"), `a.yaml:11: unknown field "ackk"`},
		{"key twice", replace("hold: 0", "min_sync: 0"), "a.yaml:16: "},
		{"two documents", goodConfig + "---\nname: b\n", "a.yaml: contains 2 YAML documents"},
		{"no YAML", "name: [", "a.yaml:1: "},
		{"a list", "- a\n", "a.yaml:1: "},
		{"bad duration", replace("rejoin_timeout: 10s", "rejoin_timeout: 10"), `a.yaml:20: rejoin_timeout "10" is not a duration`},
		{"bad duration in a list", replace("5s", "five"), `a.yaml:13: replication.destinations[0].downgrade_after "five" is not a duration`},
		{"bad size", replace("16MiB", "16 Mib"), `a.yaml:22: max_message "16 Mib" is not a size`},
		{"bad share", replace("5%", "5.5%"), `a.yaml:19: log.min_free "5.5%" is not a share`},
		{"large share", replace("5%", "90%"), `a.yaml:19: log.min_free is 90%: it must be from 0% to 50%`},
		{"negative share", replace("5%", "-1GiB"), `a.yaml:19: log.min_free is -1GiB: it must be at least 0`},
		{"size of a map", replace("hold: 0", "hold: {a: 1}"), `a.yaml:16: hold must be one plain value`},
		{"size too large", replace("16MiB", "1GiB"), "a.yaml:22: max_message is 1GiB: it must be at most"},
		{"size overflows", replace("16MiB", "99999999999TiB"), "a.yaml:22: max_message"},
		{"negative size", replace("hold: 0", "hold: -1"), "a.yaml:16: hold is -1: it must be at least 0"},
		{"zero", replace("drain_timeout: 10s", "drain_timeout: 0s"), "a.yaml:21: drain_timeout is 0s: it must be at least 1ms"},
		{"bad name", replace("name: a", "name: a/b"), `a.yaml:1: name contains '/'`},
		{"bad address", replace("127.0.0.1:9007", "9007"), `a.yaml:5: clients.listen is "9007": it must be host:port`},
		{"bad port", replace("127.0.0.1:9007", "localhost:70000"), `a.yaml:5: clients.listen has the port "70000"`},
		{"peer port 0", replace("127.0.0.1:9108", "localhost:0"), `a.yaml:10: replication.destinations[0].address has the port "0"`},
		{"bad ack", replace("ack: sync", "ack: maybe"), `a.yaml:11: replication.destinations[0].ack is "maybe"`},
		{"itself", replace("- name: b", "- name: a"), "a.yaml:9: replication.destinations[0].name is this instance itself"},
		{"bad pattern", replace("^important_topic$", "(important"), "a.yaml:12: replication.destinations[0].topics[0] bad regex topic"},
		{"no topics", replace(`["^important_topic$"]`, "[]"), "a.yaml:12: replication.destinations[0].topics is empty"},
		{"upgrade after downgrade", replace("2.5s", "6s"), "a.yaml:14: replication.destinations[0].upgrade_within is 6s"},
		{"negative downgrade", replace("after: 5s", "after: -5s"), "a.yaml:13: replication.destinations[0].downgrade_after is -5s: it must be at least 0s"},
		{"async with downgrade", replace("ack: sync", "ack: async"), "a.yaml:13: replication.destinations[0].downgrade_after is for sync"},
		{"min_sync", replace("min_sync: 0", "min_sync: 2"), "a.yaml:15: min_sync is 2: it must be from 0 to the number of sync destinations, which is 1"},
		{"no group", replace("group: pair\n", ""), "a.yaml: group is missing"},
		{"no data", replace("data: ./data/a\n", ""), "a.yaml: data is missing"},
		{"no other instance", replace("  destinations:\n    - name: b\n      address: 127.0.0.1:9108\n      ack: sync\n      topics: [\"^important_topic$\"]\n"+
			"      downgrade_after: 5s\n      upgrade_within: 2.5s\n", ""), "a.yaml:7: replication names no other instance"},
		{"peer is a destination", replace("min_sync: 0", "  peers: [c, b]\nmin_sync: 0"), `a.yaml:15: replication.peers[1] names "b" a second time`},
		{"peer is itself", replace("min_sync: 0", "  peers: [a]\nmin_sync: 0"), "a.yaml:15: replication.peers[0] is this instance itself"},
		{"peer cannot dial", replace("  listen: 127.0.0.1:9107\n", "  peers: [c]\n"), "a.yaml:7: replication.peers[0] cannot dial this instance"},
		{"no secret", replace("127.0.0.1:9107", "0.0.0.0:9107"), "a.yaml: replication.secret is missing, and 0.0.0.0:9107 is not a loopback address"},
		{"clients of a network", replace("127.0.0.1:9007", "0.0.0.0:9007"), "a.yaml:5: clients.listen is 0.0.0.0:9007, which is not a loopback address"},
		{"clients of a network, optional certificate", replace("127.0.0.1:9007", ":9007\n  tls: {cert: c, key: k, client_ca: ca, client_cert: optional}"), "a.yaml:5: clients.listen is :9007, which is not a loopback address"},
		{"admin of a network", replace("127.0.0.1:8085", "192.0.2.1:8085"), "a.yaml: admin.token is missing, and 192.0.2.1:8085 is not a loopback address"},
		{"no certificate", replace("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {key: k}"), "a.yaml: clients.tls.cert is missing"},
		{"no key", replace("127.0.0.1:8085", "127.0.0.1:8085\n  tls: {cert: c}"), "a.yaml: admin.tls.key is missing"},
		{"bad client_cert", replace("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {cert: c, key: k, client_cert: maybe}"), `a.yaml:6: clients.tls.client_cert is "maybe": it must be none, optional or require`},
		{"no client_ca", replace("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {cert: c, key: k, client_cert: optional}"), "a.yaml: clients.tls.client_ca is missing"},
		{"unused client_ca", replace("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {cert: c, key: k, client_ca: ca, client_cert: none}"), "a.yaml:6: clients.tls.client_ca is not used"},
		{"bad min_version", replace("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {cert: c, key: k, min_version: \"1.1\"}"), `a.yaml:6: clients.tls.min_version is "1.1": it must be "1.2" or "1.3"`},
		{"no ca of links", replace("min_sync: 0", "  tls: {cert: c, key: k}\nmin_sync: 0"), "a.yaml: replication.tls.ca is missing"},
		{"audit without a file", goodConfig + "audit: {keep: 2}\n", "a.yaml: audit.file is missing: name the file"},
		{"audit in the journal", goodConfig + "audit: {file: data/a/../a/audit.log}\n", "a.yaml:23: audit.file is in the directory of the journal"},
		{"small audit files", goodConfig + "audit: {file: audit.log, max_size: 1KiB}\n", "a.yaml:23: audit.max_size is 1KiB: it must be at least 64KiB"},
		{"many audit files", goodConfig + "audit: {file: audit.log, keep: 1001}\n", "a.yaml:23: audit.keep is 1001: it must be at most 1000"},
		{"wrong type", replace("min_sync: 0", "min_sync: many"), "a.yaml:15: "},
		{"behind comments", replace("group: pair\n", "# a\n# b\n\ngroup: 'pair\n\n  of two' # c\nhodl: 0\n"), `a.yaml:8: unknown field "hodl"`},
		{"alias behind a comment", "# a\nname: *x\n", `a.yaml:2: "*": anchors, aliases and tags are not supported`},
		{"alias", replace("min_sync: 0", "min_sync: *x"), `a.yaml:15: "*": anchors, aliases and tags are not supported`},
		{"large", goodConfig + strings.Repeat("#\n", maxConfigBytes/2), "a.yaml: has more than 1048576 bytes"},
	} {
		for _, text := range []string{tt.text, strings.ReplaceAll(tt.text, "\n", "\r\n")} {
			t.Run(tt.name, func(t *testing.T) {
				_, err := parseConfig("a.yaml", []byte(text))
				if err == nil {
					t.Fatal("was accepted")
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("says %q, want %q", err, tt.want)
				}
				if tt.name == "negative downgrade" && strings.Contains(err.Error(), "upgrade_within") {
					t.Errorf("says %q, of one value", err)
				}
			})
		}
	}
}

// Clients and operators may come from a network if they prove who they are, or if the configuration
// says that they need not.
func TestConfigsForNetworks(t *testing.T) {
	for _, tt := range []struct{ old, new string }{
		{"127.0.0.1:9007", "0.0.0.0:9007\n  insecure: true"},
		{"127.0.0.1:9007", "0.0.0.0:9007\n  tls: {cert: c, key: k, client_ca: ca}"},
		{"127.0.0.1:9007", "localhost:9007\n  tls: {cert: c, key: k, min_version: 1.2}"},
		{"127.0.0.1:8085", "0.0.0.0:8085\n  insecure: true"},
		{"127.0.0.1:8085", "0.0.0.0:8085\n  token: t"},
		{"127.0.0.1:8085", "0.0.0.0:8085\n  tls: {cert: c, key: k, client_ca: ca, client_cert: require}"},
		{"127.0.0.1:9107", "0.0.0.0:9107\n  tls: {cert: c, key: k, ca: ca}"},
		{"127.0.0.1:9107", "0.0.0.0:9107\n  tls: {cert: c, key: k, ca: ca}\n  secret: s"},
	} {
		if _, err := parseConfig("a.yaml", []byte(strings.Replace(goodConfig, tt.old, tt.new, 1))); err != nil {
			t.Errorf("%s: %v", tt.new, err)
		}
	}
}

// Paths in a config file are relative to its directory.
func TestConfigPaths(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	text := strings.NewReplacer("127.0.0.1:9007", "127.0.0.1:9007\n  tls: {cert: c, key: k, client_ca: ca}", "127.0.0.1:8085", "127.0.0.1:8085\n  token: t",
		"127.0.0.1:9107", "127.0.0.1:9107\n  tls: {cert: c, key: /k, ca: ca}\n  secret: s").Replace(goodConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cfg.paths() {
		if dir := filepath.Dir(*path); *path != "" && *path != "/k" && dir != filepath.Dir(file) && dir != filepath.Join(filepath.Dir(file), "data") {
			t.Errorf("%q is not relative to the file", *path)
		}
	}
}

// Files that cannot be used are errors of their fields, and a secret is not quoted.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("PASSWORD"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"clients.tls.cert cannot be read":   {Clients: ClientPort{TLS: &PortTLS{Cert: "none", Key: "none"}}},
		"clients.tls.cert ":                 {Clients: ClientPort{TLS: &PortTLS{Cert: token, Key: token}}},
		"admin.tls.cert cannot be read":     {Admin: AdminPort{TLS: &PortTLS{Cert: "none", Key: "none"}}},
		"admin.token cannot be read":        {Admin: AdminPort{Token: "none"}},
		"admin.token " + token + " does":    {Admin: AdminPort{Token: token}},
		"replication.tls.cert cannot be":    {Replication: &Replication{TLS: &LinkTLS{Cert: "none"}}},
		"replication.secret cannot be read": {Replication: &Replication{Secret: "none"}},
	} {
		_, err := openFiles(&c)
		if config, ok := err.(*ConfigError); !ok || !strings.HasPrefix(config.Error(), want) || strings.Contains(config.Error(), "PASSWORD") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzConfig parses any text as a configuration. Errors name the file and, if there is one, the
// line. Aliases cannot make the configuration larger than its text.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(goodConfig))
	for _, text := range []string{
		"name: [", "- a\n", "---\n---\n", "name: &a [*a]\n", "a: &a [x,x]\nb: &b [*a,*a]\nname: [*b,*b,*b]\n", "name: !!binary x\n", "? [a]\n: b\n",
		"name: a\ndata: \"\\x00\"\n", "<<: *x\n", "name: |\n  a\nhold: 9e99\n", "\ufeffname: a", "name: 'a\n", "log: {topics: [\"(\"]}\n", "%YAML 1.2\n---\nname: a\n",
		strings.Repeat("[", 200), strings.Repeat("a:\n ", 200), "log: {retain: " + strings.Repeat("9", 300) + "h}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4<<10 {
			return
		}
		heap.Bounded(t, len(text), 4<<10, 4<<20, func() {
			_, err := parseConfig("a.yaml", text)
			checkConfigErrors(t, text, err)
		})
	})
}

func checkConfigErrors(t *testing.T, text []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	all := []error{err}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		all = joined.Unwrap()
	}
	for _, err := range all {
		config, is := err.(*ConfigError)
		if !is || config.File != "a.yaml" || config.Text == "" {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if lines := 1 + strings.Count(strings.ReplaceAll(string(text), "\r", "\n"), "\n"); config.Line < 0 || config.Line > lines {
			t.Errorf("%q has %d lines: %v", text, lines, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "64MiB": 64 << 20, "10GB": 1e10, "1KiB": 1024, "5B": 5} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("parseSize(%q) = %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "x", "9223372036854775807KiB"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %v", text, got)
		}
	}
}
