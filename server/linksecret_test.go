package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A configuration can read a secret that WriteSecret has made. WriteSecret never overwrites a file.
func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "link.key")
	if err := WriteSecret(file); err != nil {
		t.Fatal(err)
	}
	keys, err := readSecrets(file)
	if err != nil || len(keys) != 1 || len(keys[0]) != 32 || bytes.Equal(keys[0], make([]byte, 32)) {
		t.Fatalf("%x, %v", keys, err)
	}
	if err := WriteSecret(file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwritten: %v", err)
	}
	if again, err := readSecrets(file); err != nil || !bytes.Equal(again[0], keys[0]) {
		t.Errorf("it changed to %x, %v", again, err)
	}
	config := filepath.Join(dir, "a.yaml")
	text := strings.Replace(goodConfig, "  destinations:", "  secret: link.key\n  peers: [c]\n  destinations:", 1)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := openFiles(&cfg); err != nil || !bytes.Equal(f.secrets()[0], keys[0]) {
		t.Errorf("%+v, %v", cfg.Replication, err)
	}
}

// An instance does not start with a secret that others may read or that is malformed.
func TestBadSecretFile(t *testing.T) {
	good := strings.Repeat("0f", 32)
	for _, tt := range []struct {
		name, text string
		mode       fs.FileMode
		want       string // empty: the file is good
	}{
		{"good", good, 0o600, ""},
		{"good, read only", good + "\r\n", 0o400, ""},
		{"group reads it", good, 0o640, "chmod 600"},
		{"all read it", good, 0o604, "chmod 600"},
		{"empty", "", 0o600, "64 hexadecimal digits"},
		{"short", good[:62], 0o600, "64 hexadecimal digits"},
		{"long", good + "00", 0o600, "64 hexadecimal digits"},
		{"no digits", strings.Repeat("xy", 32), 0o600, "64 hexadecimal digits"},
		{"two", good + "\n" + strings.Repeat("1e", 32), 0o600, ""},
		{"three", strings.Repeat(good+"\n", 3), 0o600, "contains 3 secrets"},
		{"huge", strings.Repeat(" ", 1<<20) + good, 0o600, "more than 1024 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tt.mode&0o077 != 0 {
				t.Skip("files have no such modes there")
			}
			file := filepath.Join(t.TempDir(), "link.key")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, tt.mode); err != nil {
				t.Fatal(err)
			}
			startsWith(t, &Replication{Secret: file, Destinations: []Destination{{Name: "b", Address: "192.0.2.1:9107"}}}, tt.want)
		})
	}
	startsWith(t, &Replication{Secret: filepath.Join(t.TempDir(), "none"), Destinations: []Destination{{Name: "b", Address: "127.0.0.1:9107"}}}, "cannot be read")
}

// A link beyond loopback needs a secret, or the setting that it needs none.
func TestSecretIsNeeded(t *testing.T) {
	to := func(address string) []Destination { return []Destination{{Name: "b", Address: address}} }
	for _, tt := range []struct {
		r    Replication
		want string
	}{
		{Replication{Listen: "127.0.0.1:0", Destinations: to("[::1]:9107")}, ""},
		{Replication{Listen: "localhost:0", Destinations: to("127.3.2.1:9107")}, ""},
		{Replication{Listen: ":0", Destinations: to("127.0.0.1:9107")}, "replication.secret is missing"},
		{Replication{Listen: "0.0.0.0:0", Destinations: to("127.0.0.1:9107")}, "replication.secret is missing"},
		{Replication{Listen: "127.0.0.1:0", Destinations: to("192.0.2.1:9107")}, "192.0.2.1:9107 is not a loopback address"},
		{Replication{Listen: "127.0.0.1:0", Destinations: to("example.invalid:9107")}, "replication.secret is missing"},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}}, "replication.secret is missing"},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}, Insecure: true}, ""},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}, SecretKey: make([]byte, 32)}, ""},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}, SecretKey: make([]byte, 31)}, "has 31 bytes"},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}, TLSConfig: new(tls.Config)}, ""},
		{Replication{Listen: "0.0.0.0:0", Peers: []string{"b"}, TLS: new(LinkTLS), TLSConfig: new(tls.Config)}, "replication.tls is given together with a TLSConfig"},
	} {
		startsWith(t, &tt.r, tt.want)
	}
}

// startsWith starts an instance. want is a part of the expected error.
func startsWith(t *testing.T, r *Replication, want string) {
	t.Helper()
	s, err := Start(Config{
		Name: "a", Group: "g", Data: "d", fs: memfs.New(), Clients: ClientPort{Listen: "127.0.0.1:0"}, Replication: r,
	})
	if err == nil {
		s.Close()
	}
	var config *ConfigError
	switch {
	case want == "" && err != nil:
		t.Errorf("%+v: %v", r, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &config)):
		t.Errorf("%+v: %v, want %q", r, err, want)
	}
}
