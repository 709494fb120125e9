package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// secured starts a server in memory with the permissions of permissions.yaml.
func secured(t *testing.T, f *fakeIssuer, log io.Writer) (*servertest.Instance, *access) {
	t.Helper()
	rules, err := loadTable("permissions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a := newAccess(open(t, f), rules)
	return servertest.New(t, servertest.Config(func(c *server.Config) {
		c.Authenticator, c.Authorizer = a, a
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})), a
}

// dial connects a client that logs on with a token. A message that is rejected for good goes to
// rejected.
func dial(t *testing.T, i *servertest.Instance, name, token string, rejected func(*client.RejectedError)) *client.Client {
	t.Helper()
	cfg := i.Client(name)
	cfg.Credentials = func(context.Context, client.Challenge) (user, password string, err error) { return "", token, nil }
	cfg.Hooks.FailedWrite = rejected
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A user of the group order-desk publishes and gets its acks. An auditor gets the message, and its
// own publish is rejected for good.
func TestPermissionsOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		i, _ := secured(t, f, io.Discard)

		desk := dial(t, i, "desk", key.sign(t, nil), func(e *client.RejectedError) { t.Error(e) })
		ticket, err := desk.PublishTicket(t.Context(), "orders.eu", []byte(`{"id":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := ticket.AwaitSafe(t.Context()); err != nil {
			t.Fatal(err)
		}

		var reason string
		auditor := dial(t, i, "auditor", key.sign(t, jwt.MapClaims{"sub": "ann", "groups": "openid auditors"}),
			func(e *client.RejectedError) { reason = e.Reason })
		sub, err := auditor.Subscribe(t.Context(), "^orders", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range sub.Messages(t.Context()) {
			if err != nil || string(m.Body) != `{"id":1}` {
				t.Errorf("the auditor gets %s (%v)", m.Body, err)
			}
			break
		}
		if ticket, err = auditor.PublishTicket(t.Context(), "orders.eu", []byte(`{"id":2}`)); err != nil {
			t.Fatal(err)
		}
		if err := ticket.AwaitSettled(t.Context()); err == nil {
			t.Error("the auditor publishes")
		}
		synctest.Wait()
		if reason != "not entitled" {
			t.Errorf("the failed-write handler got the reason %q", reason)
		}
		if n := len(i.Messages("orders.eu")); n != 1 {
			t.Errorf("%d messages are recorded, want 1", n)
		}
		var refused *client.CommandError
		if _, err := desk.Subscribe(t.Context(), "payroll"); !errors.As(err, &refused) || refused.Reason != "not entitled" {
			t.Errorf("the order desk subscribes to payroll: %v", err)
		}
	})
}

// A session outlives its token. At the next logon an expired token is refused, until the platform has
// renewed it: the client asks for it at each attempt, and nothing is lost meanwhile.
func TestTokenIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		i, _ := secured(t, f, io.Discard)
		var token atomic.Value
		token.Store(key.sign(t, nil))
		cfg := i.Client("desk")
		cfg.Credentials = func(context.Context, client.Challenge) (user, password string, err error) {
			return "", token.Load().(string), nil
		}
		failed := make(chan error, 100)
		cfg.Hooks.Disconnected = func(_ string, err error) { failed <- err }
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(2 * time.Hour)
		publish := func(body string) {
			if _, err := c.Publish(t.Context(), "orders", []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		publish("1")
		if err := c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		i.Restart()
		publish("2")
		for err := range failed {
			if strings.Contains(err.Error(), "auth failure") {
				break
			}
		}
		token.Store(key.sign(t, nil))
		if err := c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(i.Messages("orders")); n != 2 {
			t.Errorf("%d messages are recorded, want 2", n)
		}
	})
}

// keyAsSecret returns a signer with HMAC and the public key of an RSA key, in one of the forms in
// which libraries have taken it for a secret.
func keyAsSecret(t *testing.T, f *fakeIssuer, asPEM bool) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if asPEM {
		secret = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: secret})
	}
	f.set(func() { f.keys["rsa"] = key.Public() })
	return signer{"rsa", jwt.SigningMethodHS256, secret}
}

// replacePart replaces a part of a token: 0 is the header, 1 are the claims. The signature stays.
func replacePart(token string, n int, text string) string {
	parts := strings.Split(token, ".")
	parts[n] = base64.RawURLEncoding.EncodeToString([]byte(text))
	return strings.Join(parts, ".")
}

// Each of these tokens fails the logon. The server records nothing of the client, and the log has
// the reason, but neither the token nor a part of it.
func TestRefusedTokens(t *testing.T) {
	f := newFakeIssuer()
	key, foreign := newKey(t, f, "1"), newKey(t, nil, "1")
	asDER, asPEM := keyAsSecret(t, f, false), keyAsSecret(t, f, true)
	unknown := signer{"2", foreign.method, foreign.key}
	none := signer{"1", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType}
	with := func(s signer, name string, value any) func(*testing.T) string {
		return func(t *testing.T) string { return s.sign(t, jwt.MapClaims{name: value}) }
	}
	as := func(s signer) func(*testing.T) string {
		return func(t *testing.T) string { return s.sign(t, nil) }
	}
	at := func(name string, d time.Duration) func(*testing.T) string {
		return func(t *testing.T) string { return key.sign(t, jwt.MapClaims{name: time.Now().Add(d).Unix()}) }
	}
	for name, tt := range map[string]struct {
		token func(*testing.T) string
		want  string // in the log
	}{
		"no token":       {func(*testing.T) string { return "" }, "the logon has no token"},
		"a password":     {func(*testing.T) string { return "s3cret" }, "is not a token"},
		"bad header":     {func(t *testing.T) string { return replacePart(key.sign(t, nil), 0, `{"alg":`) }, "is not a token"},
		"other claims":   {func(t *testing.T) string { return replacePart(key.sign(t, nil), 1, `{"sub":"root"}`) }, "signature is invalid"},
		"too long":       {with(key, "x", strings.Repeat("x", maxToken)), "at most 16384 are allowed"},
		"other issuer":   {with(key, "iss", "https://id.example.org"), "invalid issuer"},
		"no issuer":      {with(key, "iss", nil), "iss claim is required"},
		"other audience": {with(key, "aud", []string{"payroll"}), "invalid audience"},
		"no audience":    {with(key, "aud", nil), "aud claim is required"},
		"expired":        {at("exp", -time.Minute), "token is expired"},
		"no expiry":      {with(key, "exp", nil), "exp claim is required"},
		"not yet valid":  {at("nbf", time.Minute), "token is not valid yet"},
		"of the future":  {at("iat", time.Minute), "token used before issued"},
		"no iat":         {with(key, "iat", nil), "no claim iat"},
		"no user":        {with(key, "sub", ""), "claim sub of the token"},
		"long user":      {with(key, "sub", strings.Repeat("x", maxUser+1)), "claim sub of the token"},
		"no text":        {with(key, "sub", []string{"joe"}), "claim sub of the token"},
		"no groups":      {with(key, "groups", nil), "has no permissions"},
		"other groups":   {with(key, "groups", []any{"payroll", 1, nil}), "has no permissions"},
		"foreign key":    {as(foreign), "signature is invalid"},
		"unknown key":    {as(unknown), "no key with the key id"},
		"none":           {as(none), "signing method none is invalid"},
		"none, no id":    {as(signer{"", none.method, none.key}), "signing method none is invalid"},
		"public key DER": {as(asDER), "signing method HS256 is invalid"},
		"public key PEM": {as(asPEM), "signing method HS256 is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refuses(t, f, tt.token(t), tt.want) })
		})
	}
}

// refuses has a client publish that logs on with a token, and checks that the server refuses it and
// logs the reason.
func refuses(t *testing.T, f *fakeIssuer, token, want string) {
	var log syncBuffer
	i, _ := secured(t, f, &log)
	cfg := i.Client("x")
	cfg.StartOffline = true
	cfg.Credentials = func(context.Context, client.Challenge) (user, password string, err error) { return "joe", token, nil }
	failed := make(chan error, 100)
	cfg.Hooks.Disconnected = func(_ string, err error) {
		select {
		case failed <- err:
		default:
		}
	}
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Publish(t.Context(), "orders", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is refused again at the next attempt
		select {
		case err := <-failed:
			if !strings.Contains(err.Error(), "auth failure") {
				t.Errorf("the attempt fails with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the server does not refuse the token")
		}
	}
	if n := len(i.Messages("orders")); n != 0 {
		t.Errorf("%d messages are recorded", n)
	}
	text := log.String()
	if !strings.Contains(text, want) {
		t.Errorf("the log lacks %q:\n%s", want, text)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 5 && strings.Contains(text, part) {
			t.Errorf("the log has a part of the token:\n%s", text)
		}
	}
}

// A syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A token may be for several audiences, and the clocks of issuer and server may differ by half a
// minute.
func TestAcceptedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		i := open(t, f)
		soon, before := time.Now().Add(20*time.Second).Unix(), time.Now().Add(-20*time.Second).Unix()
		for _, claims := range []jwt.MapClaims{
			{"aud": []string{"payroll", audience}}, {"iat": soon}, {"nbf": soon}, {"exp": before},
		} {
			if !accepted(t, i, key.sign(t, claims)) {
				t.Errorf("a token with %v was refused", claims)
			}
		}
	})
}

// The groups of a user are those of its newest token, whichever it logs on with. Of two tokens of
// one second they are the groups that both have.
func TestNewestTokenDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		_, a := secured(t, f, io.Discard)
		token := func(groups ...string) string { return key.sign(t, jwt.MapClaims{"groups": groups}) }
		logon := func(token string, publish, subscribe bool) {
			t.Helper()
			user, err := a.Authenticate(t.Context(), &server.Logon{Password: token})
			if err != nil || user != "joe" {
				t.Fatalf("user %q, %v", user, err)
			}
			p, ok := a.Permissions(user)
			if ok != (publish || subscribe) {
				t.Errorf("the user may log on: %v", ok)
			}
			if ok && (p.Publish([]byte("orders")) != publish || p.Subscribe([]byte("payroll")) != subscribe) {
				t.Errorf("publish %v, subscribe %v", p.Publish([]byte("orders")), p.Subscribe([]byte("payroll")))
			}
		}
		both := token("order-desk", "auditors")
		logon(both, true, true)
		time.Sleep(time.Second)
		less, other := token("auditors"), token("order-desk")
		logon(less, false, true)
		logon(both, false, true)
		logon(other, false, false)
		time.Sleep(time.Second)
		logon(token("order-desk"), true, false)
	})
}

// Users are remembered up to a bound. Beyond it those go whose tokens have expired.
func TestUsersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccess(nil, nil)
		remember := func(n int) error {
			return a.remember(fmt.Sprint(n), member{expires: time.Now().Add(time.Hour)})
		}
		for n := range maxUsers {
			if err := remember(n); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(remember(0), remember(maxUsers)); err == nil || !strings.Contains(err.Error(), "100000 users") {
			t.Errorf("one user more: %v", err)
		}
		time.Sleep(time.Hour + time.Second)
		if err := remember(maxUsers); err != nil || len(a.users) != 1 {
			t.Errorf("after the tokens have expired: %v, %d users", err, len(a.users))
		}
	})
}

// A group whose patterns are missing allows nothing. A pattern is for a whole topic.
func TestPatterns(t *testing.T) {
	rules := load(t, `groups: {a: {publish: ['a|b', 'c\.[0-9]+']}, b: {}}`)
	p := rules.permissions([]string{"a"})
	for topic, want := range map[string]bool{"a": true, "b": true, "c.12": true, "ab": false, "xa": false, "c.12x": false, "": false, "a\n": false} {
		if p.Publish([]byte(topic)) != want || p.Subscribe([]byte(topic)) {
			t.Errorf("%q: publish %v, subscribe %v", topic, p.Publish([]byte(topic)), p.Subscribe([]byte(topic)))
		}
	}
	if p := rules.permissions([]string{"b"}); p.Publish([]byte("a")) || p.Subscribe([]byte("a")) {
		t.Error("a group without patterns allows something")
	}
}

// The version is the same if the same is allowed, and else another one.
func TestVersion(t *testing.T) {
	v := func(text string) server.PermissionsVersion { return load(t, text).version }
	base := v("version: 1\ngroups: {a: {publish: [x]}, b: {}}")
	if same := v("# a comment\ngroups:\n  b: {}\n  a:\n    publish: ['x']\nuser_claim: sub\nversion: 2"); same.Hash != base.Hash || same.Number != 2 {
		t.Errorf("other text, same permissions: %v and %v", base, same)
	}
	for _, text := range []string{
		"groups: {a: {publish: [y]}, b: {}}", "groups: {a: {subscribe: [x]}, b: {}}", "groups: {a: {publish: [x]}}",
		"groups: {a: {}, b: {publish: [x]}}", "user_claim: email\ngroups: {a: {publish: [x]}, b: {}}",
		"groups_claim: scope\ngroups: {a: {publish: [x]}, b: {}}",
	} {
		if v(text).Hash == base.Hash {
			t.Errorf("the hash does not change with %s", text)
		}
	}
}

// load loads a table from a text.
func load(t *testing.T, text string) *table {
	t.Helper()
	rules, err := loadTable(file(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// file writes a file with permissions.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// An error names the file, the line and the field.
func TestBadTables(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "p.yaml: groups is missing",
		"groups: {}":                             "p.yaml: groups is missing",
		"user_claim: ''\ngroups: {a: {}}":        "user_claim or groups_claim is empty",
		"groups:\n  a:\n    publsh: [x]":         `p.yaml:3: unknown field "publsh"`,
		"groups:\n  a:\n    publish: ['x', '(']": "p.yaml:3: groups.a.publish[1] is not a pattern: error parsing regexp: missing closing ): `(`",
		"groups: {a: {publish: ['a)(b']}}":       "p.yaml:1: groups.a.publish[0] is not a pattern",
		"groups: {a: {publish: [1]}}":            "p.yaml:1: groups.a.publish[0] is not a text",
		"groups: {a: {publish: x}}":              "p.yaml:1: ",
		"groups: {a: {}}\ngroups: {b: {}}":       `p.yaml:2: mapping key "groups" already defined`,
		"version: -1\ngroups: {a: {}}":           "p.yaml:1: ",
		strings.Repeat("#", maxTable+1):          "more than 65536 bytes",
	} {
		if _, err := loadTable(file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
	if _, err := loadTable("absent.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// The program serves a client over TCP, with the keys of an issuer that it finds over HTTP, and
// stops in order.
func TestProgram(t *testing.T) {
	f := newFakeIssuer()
	key := newKey(t, f, "1")
	web := httptest.NewServer(f)
	defer web.Close()
	f.set(func() { f.url = web.URL })

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, stdout := io.Pipe()
	ended, listen := make(chan error, 1), heldport.ForTest(t)
	go func() {
		err := run(ctx, options{issuer: web.URL, audience: audience, permissions: "permissions.yaml", listen: listen, data: t.TempDir()}, stdout)
		stdout.CloseWithError(fmt.Errorf("the program has ended: %w", err))
		ended <- err
	}()
	var address string
	if _, err := fmt.Fscanf(out, "listening %s\n", &address); err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(t.Context(), client.Config{
		Name: "desk", Servers: []string{"tcp://" + address + "/amps/json"},
		Credentials: func(context.Context, client.Challenge) (user, password string, err error) {
			return "", key.sign(t, jwt.MapClaims{"iss": web.URL}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Publish(t.Context(), "orders", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.FlushSafe(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the port is open after the program has ended")
	}
}
