package users_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// people is a file with each kind of credentials. All passwords are "pencil".
var people = head +
	"- {name: ann, scram: '" + scramText + "'}\n" +
	"- {name: bob, argon2id: '" + argon2Text + "'}\n" +
	"- {name: cid, scram: '" + scramText + "', cert: cid.example}\n" +
	"- {name: dot, cert: dot@example.org}\n" +
	"- {name: eve, cert: 'spiffe://example.org/eve'}\n"

// wantDenied checks an error that is for a client, and its cause.
func wantDenied(t *testing.T, err error, cause string) {
	t.Helper()
	var d *users.DeniedError
	if !errors.Is(err, users.ErrDenied) || !errors.As(err, &d) || d.Cause != cause {
		t.Errorf("%v (%+v), want %q", err, d, cause)
	}
	if err != nil && err.Error() != "not authenticated" {
		t.Errorf("the client learns %q", err)
	}
}

// verified returns the state of a connection whose client certificate has these names.
func verified(c *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c}}}
}

func named(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}}
}

func TestPlainPasswords(t *testing.T) {
	s := loadText(t, people)
	cid := verified(named("cid.example"))
	for _, tt := range []struct {
		user, password string
		state          *tls.ConnectionState
		want, cause    string
	}{
		{"ann", "pencil", nil, "ann", ""},
		{"ann", "Pencil", nil, "", "wrong password"},
		{"ann", "", nil, "", "no password, and no client certificate of a user"},
		{"bob", "pencil", nil, "bob", ""},
		{"bob", "pen", nil, "", "wrong password"},
		{"zoe", "pencil", nil, "", "unknown user"},
		{"", "pencil", nil, "", "unknown user"},
		{"dot", "pencil", nil, "", "the user has no password"},
		{"ann", strings.Repeat("x", 4097), nil, "", "the password has 4097 bytes, more than the maximum 4096"},
		{"ann", scramText, nil, "", "wrong password"},
		{"bob", argon2Text, nil, "", "wrong password"},
		{"ann", "SCRAM-SHA-256 pencil", nil, "", "wrong password"},
		{"ann", "SCRAM-SHA-256 n,,n=ann,r=abc", nil, "", "a SCRAM conversation is not possible here"},

		{"", "", cid, "cid", ""},
		{"cid", "", cid, "cid", ""},
		{"cid", "pencil", cid, "cid", ""},
		{"", "pencil", cid, "cid", ""},
		{"cid", "pen", cid, "", "wrong password"},
		{"ann", "", cid, "", `the client certificate is that of the user "cid"`},
		{"ann", "pencil", cid, "", `the client certificate is that of the user "cid"`},
		{"ann", "pencil", verified(named("other")), "ann", ""},
		{"ann", "", verified(named("other")), "", "no password, and no client certificate of a user"},
		{"cid", "", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{named("cid.example")}}, "", "no password, and no client certificate of a user"},
		{"", "", verified(&x509.Certificate{DNSNames: []string{"x", "cid.example"}}), "cid", ""},
		{"", "", verified(&x509.Certificate{EmailAddresses: []string{"dot@example.org"}}), "dot", ""},
		{"", "", verified(&x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/eve"}}}), "eve", ""},
		{"", "", verified(&x509.Certificate{Subject: pkix.Name{CommonName: "cid.example"}, EmailAddresses: []string{"dot@example.org"}}), "",
			`the client certificate has names of several users: "cid" and "dot"`},
		{"", "", verified(named("")), "", "no password, and no client certificate of a user"},
	} {
		got, err := s.Authenticate(t.Context(), users.Attempt{User: tt.user, Password: tt.password, TLS: tt.state})
		if got != tt.want || (err == nil) != (tt.cause == "") {
			t.Errorf("%q with %.20q: %q, %v; want %q, %q", tt.user, tt.password, got, err, tt.want, tt.cause)
		}
		if tt.cause != "" {
			wantDenied(t, err, tt.cause)
		}
	}
}

// converse logs on with SCRAM. It returns the server's first answer, too.
func converse(t *testing.T, s *users.Set, logon string, c *scram.Client, state *tls.ConnectionState) (first, user string, err error) {
	t.Helper()
	user, err = s.Authenticate(t.Context(), users.Attempt{User: logon, Password: c.Initial(), TLS: state,
		Challenge: func(_ context.Context, _, text string) (string, error) {
			if first == "" {
				first = text
				return c.Final(text)
			}
			return "", c.Verify(text)
		}})
	return first, user, err
}

func TestScram(t *testing.T) {
	s := loadText(t, people)
	for _, tt := range []struct{ logon, user, password, cause string }{
		{"ann", "ann", "pencil", ""},
		{"", "ann", "pencil", ""},
		{"ann", "ann", "Pencil", scram.ErrClientProof.Error()},
		{"zoe", "zoe", "pencil", "unknown user"},
		{"", "zoe", "pencil", "unknown user"},
		{"dot", "dot", "pencil", "the user has no SCRAM verifier"},
		{"bob", "bob", "pencil", "the user has no SCRAM verifier"},
		{"ann", "cid", "pencil", `the SCRAM conversation is of another user, "cid"`},
	} {
		c := scram.NewClient(tt.user, tt.password, nil)
		first, user, err := converse(t, s, tt.logon, c, nil)
		if tt.cause == "" {
			if user != tt.user || err != nil || !c.Proven() {
				t.Errorf("%+v: %q, %v, proven %v", tt, user, err, c.Proven())
			}
			continue
		}
		wantDenied(t, err, tt.cause)
		if user != "" || c.Proven() {
			t.Errorf("%+v: %q, proven %v", tt, user, c.Proven())
		}
		if (tt.logon == "" || tt.logon == tt.user) && !strings.Contains(first, ",i=4096") {
			t.Errorf("%+v: answered %q", tt, first)
		}
	}
	c := scram.NewClient("ann", "pencil", nil)
	if _, _, err := converse(t, s, "", c, verified(named("cid.example"))); err == nil {
		t.Error("logged on with the certificate of another user")
	}
}

// An error of the challenge ends the attempt and is no denial, and a client that does not accept the
// server's proof is not logged on.
func TestBrokenConversations(t *testing.T) {
	s := loadText(t, people)
	cut := errors.New("the connection is cut")
	for n := range 2 {
		c := scram.NewClient("ann", "pencil", nil)
		_, err := s.Authenticate(t.Context(), users.Attempt{Password: c.Initial(), Challenge: func(_ context.Context, user, text string) (string, error) {
			if n == 0 || user != "ann" {
				return "", cut
			}
			n--
			return c.Final(text)
		}})
		if err != cut {
			t.Errorf("after %d challenges: %v", n, err)
		}
	}
	c := scram.NewClient("ann", "pencil", nil)
	_, err := s.Authenticate(t.Context(), users.Attempt{Password: c.Initial(), Challenge: func(_ context.Context, _, text string) (string, error) {
		if strings.HasPrefix(text, "r=") {
			return c.Final(text)
		}
		return "pencil", nil
	}})
	wantDenied(t, err, "the client has answered the server's proof with another password")
	_, err = s.Authenticate(t.Context(), users.Attempt{Password: "SCRAM-SHA-256 n,,x", Challenge: func(context.Context, string, string) (string, error) {
		t.Error("challenged")
		return "", nil
	}})
	if !errors.Is(err, users.ErrDenied) {
		t.Errorf("malformed: %v", err)
	}
}

// An unknown user costs the same as a known one with a wrong password: both wait for a computation.
func TestUnknownUserCostsTheSame(t *testing.T) {
	s := loadText(t, people)
	release := users.FillSlots()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, user := range []string{"ann", "bob", "dot", "zoe", ""} {
		if _, err := s.Authenticate(ctx, users.Attempt{User: user, Password: "wrong"}); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v", user, err)
		}
	}
	one := loadText(t, strings.Join(strings.SplitAfter(people, "\n")[:4], "")) // up to ann
	both := loadText(t, people)
	seen := make(map[[4]int]int)
	for n := range 100 {
		name := fmt.Sprint("unknown", n)
		if one.PlainCost(name) != one.PlainCost("ann") {
			t.Errorf("%s costs %v", name, one.PlainCost(name))
		}
		seen[both.PlainCost(name)]++
	}
	if seen[both.PlainCost("ann")] == 0 || seen[both.PlainCost("bob")] == 0 || len(seen) != 2 {
		t.Errorf("unknown users cost %v", seen)
	}
}

// Many attempts of one source wait for each other, and not in front of those of another source.
func TestTurnsOfSources(t *testing.T) {
	s := loadText(t, people)
	synctest.Test(t, func(t *testing.T) {
		release := users.HoldTurn("10.0.0.1/32")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Authenticate(ctx, users.Attempt{User: "ann", Password: "wrong", Source: "10.0.0.1/32"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another attempt of the source has its turn: %v", err)
		}
		if _, err := s.Authenticate(t.Context(), users.Attempt{User: "ann", Password: "wrong", Source: "10.0.0.2/32"}); !errors.Is(err, users.ErrDenied) {
			t.Errorf("another source: %v", err)
		}
		release()
		if _, err := s.Authenticate(t.Context(), users.Attempt{User: "ann", Password: "wrong", Source: "10.0.0.1/32"}); !errors.Is(err, users.ErrDenied) {
			t.Errorf("once it is its turn: %v", err)
		}
		if n := users.Sources(); n != 0 {
			t.Errorf("%d sources are remembered", n)
		}
	})
}

// The answer to an unknown user looks like that to a known one. Its salt stays the same, with another
// set of the same key, too, and is another one for another user or key.
func TestMadeUpSalts(t *testing.T) {
	salt := func(text, user string) string {
		t.Helper()
		first, _, err := converse(t, loadText(t, text), "", scram.NewClient(user, "x", nil), nil)
		if !errors.Is(err, users.ErrDenied) {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(first, ",s=")
		salt, iterations, _ := strings.Cut(rest, ",i=")
		if iterations != "4096" || len(salt) != 24 {
			t.Errorf("%q is answered %q", user, first)
		}
		return salt
	}
	zoe := salt(people, "zoe")
	if again := salt(people, "zoe"); again != zoe {
		t.Error("the salt changes")
	}
	if later := salt(people+"- {name: new, scram: '"+scramText+"'}\n", "zoe"); later != zoe {
		t.Error("the salt changes with the users")
	}
	if salt(people, "zoo") == zoe || salt(strings.Replace(people, "AAEC", "BBEC", 1), "zoe") == zoe {
		t.Error("the salt can be guessed")
	}
	if salt(people, "ann") != "W22ZaJ0SNY7soEsUEjb6gQ==" {
		t.Error("a known user gets another salt")
	}
}

// Over TLS 1.3 both sides prove that they speak on the same connection.
func TestChannelBinding(t *testing.T) {
	client, server := tlsPair(t)
	s := loadText(t, people)
	binding, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	if _, user, err := converse(t, s, "ann", scram.NewClient("ann", "pencil", binding), &server); user != "ann" || err != nil {
		t.Errorf("%q, %v", user, err)
	}
	if _, user, err := converse(t, s, "ann", scram.NewClient("ann", "pencil", nil), &server); user != "ann" || err != nil {
		t.Errorf("without binding: %q, %v", user, err)
	}
	other, _ := tlsPair(t)
	binding, err = other.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	for name, state := range map[string]*tls.ConnectionState{"another connection": &server, "no TLS": nil} {
		if _, _, err := converse(t, s, "ann", scram.NewClient("ann", "pencil", binding), state); !errors.Is(err, users.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// tlsPair returns both ends' states of a TLS connection.
func tlsPair(t *testing.T) (client, server tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	s := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}
