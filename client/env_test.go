package client_test

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// setEnv sets the variables of ConfigFromEnv, written as NAME=value, and clears the others.
func setEnv(t *testing.T, variables ...string) {
	t.Helper()
	for _, name := range []string{"SERVERS", "NAME", "USER", "PASSWORD_FILE", "PASSWORD", "AUTH", "TLS_CA", "TLS_CERT", "TLS_KEY"} {
		t.Setenv("HOLDFAST_"+name, "")
	}
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv("HOLDFAST_"+name, value)
	}
}

// writeFile writes a file of a test and returns its path.
func writeFile(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The servers are separated by commas or blanks, and all other fields stay at their defaults.
func TestConfigFromEnv(t *testing.T) {
	setEnv(t, "SERVERS= tcp://a:9007/amps/json, tcp://b:9007/amps/json\n,tcp://u%2C:p@c:9007", "NAME=orders")
	cfg, err := client.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"tcp://a:9007/amps/json", "tcp://b:9007/amps/json", "tcp://u%2C:p@c:9007"}
	if cfg.Name != "orders" || !slices.Equal(cfg.Servers, want) || cfg.TLS != nil || cfg.Authenticator != nil || cfg.Credentials != nil {
		t.Errorf("%+v", cfg)
	}
	if err := cfg.Check(); err != nil {
		t.Error(err)
	}
}

// An error names the variable and shows no secret, and nothing of the configuration is returned.
func TestConfigFromEnvErrors(t *testing.T) {
	const server = "SERVERS=tcp://a:9007"
	ca := servertest.NewCA(t)
	cert, key, _ := ca.Files(t.TempDir(), "a")
	_, otherKey, _ := ca.Files(t.TempDir(), "a")
	noPEM, twoLines := writeFile(t, "s3cret"), writeFile(t, "s3cret\ns3cret\n")
	for _, tt := range []struct {
		name, want string
		variables  []string
	}{
		{"nothing", "HOLDFAST_SERVERS is not set", nil},
		{"no servers", "HOLDFAST_SERVERS is not set", []string{"SERVERS= , "}},
		{"scheme", `HOLDFAST_SERVERS: server URI "http://b:9007": scheme "http"`, []string{"SERVERS=tcp://a:9007,http://b:9007"}},
		{"comma in a password", "HOLDFAST_SERVERS: server URI", []string{"SERVERS=tcp://u:12,s3cret@a:9007"}},
		{"name", `HOLDFAST_NAME "[x]" has a control`, []string{server, "NAME=[x]"}},
		{"password", "HOLDFAST_PASSWORD is set", []string{server, "PASSWORD=s3cret"}},
		{"no user", "HOLDFAST_USER is not set", []string{server, "PASSWORD_FILE=" + noPEM}},
		{"user", "HOLDFAST_USER: ", []string{server, "USER=a\x01"}},
		{"no password file", "HOLDFAST_PASSWORD_FILE: open /nowhere/x", []string{server, "USER=joe", "PASSWORD_FILE=/nowhere/x"}},
		{"two lines", "HOLDFAST_PASSWORD_FILE: file ", []string{server, "USER=joe", "PASSWORD_FILE=" + twoLines}},
		{"auth", `HOLDFAST_AUTH is "token"`, []string{server, "USER=joe", "PASSWORD_FILE=" + noPEM, "AUTH=token"}},
		{"no authority", "HOLDFAST_TLS_CA: open /nowhere/x", []string{server, "TLS_CA=/nowhere/x"}},
		{"authority", "HOLDFAST_TLS_CA: " + noPEM + ": no certificate", []string{server, "TLS_CA=" + noPEM}},
		{"no key", "HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY belong together", []string{server, "TLS_CERT=" + cert}},
		{"no certificate", "HOLDFAST_TLS_CERT: open /nowhere/x", []string{server, "TLS_CERT=/nowhere/x", "TLS_KEY=" + key}},
		{"no key file", "HOLDFAST_TLS_KEY: open /nowhere/x", []string{server, "TLS_CERT=" + cert, "TLS_KEY=/nowhere/x"}},
		{"another key", "HOLDFAST_TLS_CERT: " + cert + " and the key in", []string{server, "TLS_CERT=" + cert, "TLS_KEY=" + otherKey}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setEnv(t, tt.variables...)
			cfg, err := client.ConfigFromEnv()
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if len(cfg.Servers) > 0 {
				t.Errorf("returned %+v", cfg)
			}
		})
	}
	setEnv(t, "NAME=[x]", "TLS_CA=/nowhere/x")
	if _, err := client.ConfigFromEnv(); strings.Count(err.Error(), "HOLDFAST_") != 3 {
		t.Errorf("not all mistakes are named: %v", err)
	}
}

// A client logs on with a password, or with a certificate alone, from the environment. Changed files
// count from the next connection on.
func TestConfigFromEnvLogsOn(t *testing.T) {
	ca := servertest.NewCA(t)
	all := []string{".*"}
	lone := servertest.New(t, servertest.TLS(ca), servertest.Users(
		servertest.User{Name: "joe", Password: "pencil", Publish: all},
		servertest.User{Name: "ann", Cert: "ann.example", Publish: all},
	))
	dir := t.TempDir()
	cert, key, authority := ca.Files(dir, "ann.example")
	password := writeFile(t, "pencil\n")
	servers := "SERVERS=" + lone.Client("").Servers[0]
	logOn := func(t *testing.T) error {
		t.Helper()
		cfg, err := client.ConfigFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		var refused error
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cfg.Dial = lone.Dial
		cfg.Hooks.Disconnected = func(_ string, err error) {
			refused = err
			cancel()
		}
		c, err := client.Dial(ctx, cfg)
		if err != nil {
			return refused
		}
		defer c.Close()
		if _, err := c.Publish(t.Context(), "t", []byte("x")); err != nil {
			t.Fatal(err)
		}
		return c.Flush(t.Context())
	}
	for name, variables := range map[string][]string{
		"SCRAM":       {servers, "TLS_CA=" + authority, "USER=joe", "PASSWORD_FILE=" + password},
		"password":    {servers, "TLS_CA=" + authority, "USER=joe", "PASSWORD_FILE=" + password, "AUTH=password"},
		"certificate": {servers, "TLS_CA=" + authority, "USER=ann", "TLS_CERT=" + cert, "TLS_KEY=" + key},
	} {
		t.Run(name, func(t *testing.T) {
			setEnv(t, variables...)
			if err := logOn(t); err != nil {
				t.Error(err)
			}
		})
	}

	setEnv(t, servers, "USER=joe", "PASSWORD_FILE="+password)
	if err := logOn(t); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the authority: %v", err)
	}
	setEnv(t, servers, "TLS_CA="+authority, "USER=ann", "TLS_CERT="+cert, "TLS_KEY="+key)
	cfg, err := client.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	ca.Files(dir, "renewed")
	pair, err := cfg.TLS.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err != nil || leaf.Subject.CommonName != "renewed" {
		t.Errorf("the certificate is not read again: %v, %v", leaf.Subject, err)
	}
}
