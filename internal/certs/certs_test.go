package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// shake does a handshake between two sides. It returns the state of the server and the error of each
// side.
func shake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, atServer, atClient error) {
	t.Helper()
	n := memnet.New()
	l, err := n.Listen("a:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := n.Dial(t.Context(), "a:1")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, c := tls.Server(near, server), tls.Client(far, client)
	done := make(chan error)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // a client learns from the first read that it was refused
		}
		near.Close()
		done <- err
	}()
	if atClient = c.Handshake(); atClient != nil {
		far.Close()
	}
	if atClient == nil {
		_, atClient = c.Read(make([]byte, 1))
	}
	atServer = <-done
	return s.ConnectionState(), atServer, atClient
}

// Both sides use the certificates that the files have at the time of the handshake.
func TestHandshakes(t *testing.T) {
	ca, other := servertest.NewCA(t), servertest.NewCA(t)
	dir := t.TempDir()
	ca.NotAfter = time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	cert, key, authority := ca.Files(dir, "a")
	a, err := certs.Load(certs.Files{Cert: cert, Key: key, CA: authority})
	if err != nil {
		t.Fatal(err)
	}
	if !a.NotAfter().Equal(ca.NotAfter) {
		t.Errorf("expires at %v, want %v", a.NotAfter(), ca.NotAfter)
	}
	server := a.Server(tls.RequireAndVerifyClientCert, tls.VersionTLS13)
	state, atServer, atClient := shake(t, server, a.Client("a"))
	if atServer != nil || atClient != nil || state.Version != tls.VersionTLS13 {
		t.Fatalf("%v, %v, version %#x", atServer, atClient, state.Version)
	}
	for name, ok := range map[string]bool{"a": true, "b": false, "A": false, "": false} {
		if err := certs.CheckName(state, name); (err == nil) != ok {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if err := certs.CheckName(tls.ConnectionState{PeerCertificates: state.PeerCertificates}, "a"); err == nil {
		t.Error("a certificate that was not verified has proven a name")
	}
	if _, _, err := shake(t, server, a.Client("b")); err == nil || !strings.Contains(err.Error(), "not b") {
		t.Errorf("another name: %v", err)
	}
	if _, _, err := shake(t, server, ca.Client("a")); err == nil {
		t.Error("a client without the name of the server succeeds")
	}
	foreign := a.Client("a")
	foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c := other.Certificate("a")
		return &c, nil
	}
	if _, err, _ := shake(t, server, foreign); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("foreign certificate: %v", err)
	}
	old := a.Client("a")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err, _ := shake(t, server, old); err == nil {
		t.Error("TLS 1.2 succeeds")
	}
	if _, err, _ := shake(t, a.Server(tls.NoClientCert, tls.VersionTLS12), old); err != nil {
		t.Errorf("TLS 1.2, where it is allowed: %v", err)
	}

	other.Files(dir, "a") // replaces the three files
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if state, atServer, atClient = shake(t, server, a.Client("a")); atServer != nil || atClient != nil {
		t.Errorf("with the new files: %v, %v", atServer, atClient)
	}
	if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: other.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the old certificate was presented: %v", err)
	}
}

// Files that cannot be used are refused with the kind and the path of the file.
func TestBadFiles(t *testing.T) {
	ca := servertest.NewCA(t)
	for _, tt := range []struct {
		name, kind, want string
		change           func(t *testing.T, f *certs.Files)
	}{
		{"good", "", "", func(*testing.T, *certs.Files) {}},
		{"no authority", "", "", func(_ *testing.T, f *certs.Files) { f.CA = "" }},
		{"key for the group", "", "", func(t *testing.T, f *certs.Files) { chmod(t, f.Key, 0o640) }},
		{"key for all", "key", "mode 0644", func(t *testing.T, f *certs.Files) { chmod(t, f.Key, 0o644) }},
		{"group may write the key", "key", "mode 0660", func(t *testing.T, f *certs.Files) { chmod(t, f.Key, 0o660) }},
		{"no certificate", "cert", "cannot be read", func(t *testing.T, f *certs.Files) { f.Cert += "x" }},
		{"certificate is a directory", "cert", "not a regular file", func(t *testing.T, f *certs.Files) { f.Cert = filepath.Dir(f.Cert) }},
		{"no key", "key", "cannot be read", func(t *testing.T, f *certs.Files) { f.Key += "x" }},
		{"another key", "cert", "does not match", func(t *testing.T, f *certs.Files) { _, f.Key, _ = ca.Files(t.TempDir(), "a") }},
		{"key is a certificate", "cert", "cannot be used together", func(t *testing.T, f *certs.Files) { f.Key = f.Cert }},
		{"no authority there", "ca", "cannot be read", func(t *testing.T, f *certs.Files) { f.CA += "x" }},
		{"authority is a key", "ca", "has no certificate", func(t *testing.T, f *certs.Files) { f.CA = f.Key }},
		{"huge", "ca", "more than 1048576 bytes", func(t *testing.T, f *certs.Files) {
			if err := os.WriteFile(f.CA, make([]byte, 1<<20+1), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(tt.want, "mode") {
				t.Skip("files have no such modes there")
			}
			var f certs.Files
			f.Cert, f.Key, f.CA = ca.Files(t.TempDir(), "a")
			tt.change(t, &f)
			_, err := certs.Load(f)
			var file *certs.FileError
			if tt.kind == "" && err != nil || tt.kind != "" && (!errors.As(err, &file) || file.Kind != tt.kind || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %s: %s", err, tt.kind, tt.want)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
