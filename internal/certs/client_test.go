package certs_test

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A client needs no file. One with an authority verifies servers, and one with a certificate presents
// the one that its files have at the time.
func TestLoadClient(t *testing.T) {
	if cfg, err := certs.LoadClient(certs.Files{}); cfg != nil || err != nil {
		t.Errorf("without files: %v, %v", cfg, err)
	}
	ca, dir := servertest.NewCA(t), t.TempDir()
	var f certs.Files
	f.Cert, f.Key, f.CA = ca.Files(dir, "joe")
	server := &tls.Config{Certificates: []tls.Certificate{ca.Certificate("a")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()}
	cfg, err := certs.LoadClient(f)
	if err != nil {
		t.Fatal(err)
	}
	cfg.ServerName = "a"
	for _, name := range []string{"joe", "renewed"} {
		ca.Files(dir, name)
		state, atServer, atClient := shake(t, server, cfg)
		if atServer != nil || atClient != nil || state.PeerCertificates[0].Subject.CommonName != name {
			t.Errorf("%s: %v, %v", name, atServer, atClient)
		}
	}
	cfg.ServerName = "b"
	if _, _, err := shake(t, server, cfg); err == nil {
		t.Error("a server of another name is trusted")
	}
}

// An error has the kind of the file that cannot be used.
func TestLoadClientErrors(t *testing.T) {
	ca, dir := servertest.NewCA(t), t.TempDir()
	var good certs.Files
	good.Cert, good.Key, good.CA = ca.Files(dir, "joe")
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err == nil {
		err = os.Truncate(huge, 17<<20)
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		kind  string
		files certs.Files
	}{
		"no authority there":  {"ca", certs.Files{CA: dir + "/none"}},
		"no authority in it":  {"ca", certs.Files{CA: good.Key}},
		"huge authority":      {"ca", certs.Files{CA: huge}},
		"no certificate":      {"cert", certs.Files{Cert: dir + "/none", Key: good.Key}},
		"directory":           {"cert", certs.Files{Cert: dir, Key: good.Key}},
		"no key":              {"key", certs.Files{Cert: good.Cert, Key: dir + "/none"}},
		"certificate for key": {"cert", certs.Files{Cert: good.Cert, Key: good.Cert}},
	} {
		cfg, err := certs.LoadClient(tt.files)
		var file *certs.FileError
		if cfg != nil || !errors.As(err, &file) || file.Kind != tt.kind {
			t.Errorf("%s: %v, %v", name, cfg, err)
		}
	}
}
