package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	issuerURL = "https://id.example.com"
	audience  = "holdfast"
)

// A fakeIssuer has keys by id. As a transport it answers without a network.
type fakeIssuer struct {
	url string

	mu    sync.Mutex
	keys  map[string]crypto.PublicKey // guarded by mu
	asked int                         // guarded by mu; requests for the keys
	away  bool                        // guarded by mu
}

func newFakeIssuer() *fakeIssuer {
	return &fakeIssuer{url: issuerURL, keys: make(map[string]crypto.PublicKey)}
}

// set changes the issuer.
func (f *fakeIssuer) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// fetches returns how often the keys were asked for.
func (f *fakeIssuer) fetches() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code == http.StatusServiceUnavailable {
		return nil, errors.New("no route to host")
	}
	return w.Result(), nil
}

func (f *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/keys" {
		f.asked++
	}
	switch {
	case f.away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]string{"issuer": f.url, "jwks_uri": f.url + "/keys"})
	case r.URL.Path == "/keys":
		set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
		for id, key := range f.keys {
			jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id, USE: jwkset.UseSig}})
			if err != nil {
				panic(err)
			}
			set.Keys = append(set.Keys, jwk.Marshal())
		}
		json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
}

// A signer signs tokens.
type signer struct {
	id     string // in the header of the tokens; empty: none
	method jwt.SigningMethod
	key    any
}

// newKey makes a key, and has the issuer publish it unless f is nil.
func newKey(t *testing.T, f *fakeIssuer, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		f.set(func() { f.keys[id] = key.Public() })
	}
	return signer{id, jwt.SigningMethodES256, key}
}

// sign signs the claims of joe in the group order-desk for an hour, with changes. A nil removes a
// claim.
func (s signer) sign(t *testing.T, changes jwt.MapClaims) string {
	t.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": issuerURL, "aud": audience, "sub": "joe", "groups": []string{"order-desk"},
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(s.method, claims)
	if s.id != "" {
		token.Header["kid"] = s.id
	}
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// open opens the issuer for a test.
func open(t *testing.T, f *fakeIssuer) *issuer {
	t.Helper()
	i, err := openIssuer(t.Context(), issuerConfig{url: f.url, audience: audience, transport: f, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	return i
}

// accepted reports whether a token is accepted, within the time that a logon has.
func accepted(t *testing.T, i *issuer, token string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := i.verify(ctx, token)
	return err == nil
}

// While the keys are in memory logons cause no request. A token of a new key has them fetched, once
// in ten seconds however many such tokens come. A key that the issuer has withdrawn is refused after
// an hour.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		old := newKey(t, f, "1")
		i := open(t, f)
		for range 100 {
			if !accepted(t, i, old.sign(t, nil)) {
				t.Fatal("a good token was refused")
			}
		}
		if n := f.fetches(); n != 1 {
			t.Errorf("%d fetches for 100 logons", n)
		}

		next := newKey(t, f, "2")
		if !accepted(t, i, next.sign(t, nil)) || !accepted(t, i, old.sign(t, nil)) {
			t.Error("a token of the new key or of the old one was refused")
		}
		foreign := newKey(t, nil, "3")
		for range 100 {
			if accepted(t, i, foreign.sign(t, nil)) {
				t.Fatal("a token of a foreign key was accepted")
			}
		}
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches after a hundred tokens of a foreign key, want 2", n)
		}
		third := newKey(t, f, "4")
		if accepted(t, i, third.sign(t, nil)) {
			t.Error("the keys were fetched twice within ten seconds")
		}
		time.Sleep(unknownEvery)
		if !accepted(t, i, third.sign(t, nil)) {
			t.Error("a token of a new key was refused after ten seconds")
		}

		f.set(func() { delete(f.keys, "1") })
		time.Sleep(refreshEvery)
		synctest.Wait()
		if accepted(t, i, old.sign(t, nil)) || !accepted(t, i, next.sign(t, nil)) {
			t.Error("a withdrawn key is accepted, or one that is not withdrawn is refused")
		}
	})
}

// Keys need no id: a token without one is verified with each key, and has the keys fetched if none
// fits.
func TestKeysWithoutID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		old := newKey(t, f, "")
		i := open(t, f)
		if !accepted(t, i, old.sign(t, nil)) {
			t.Error("a token without a key id was refused")
		}
		if next := newKey(t, f, ""); !accepted(t, i, next.sign(t, nil)) {
			t.Error("a token of the new key was refused")
		}
	})
}

// While the issuer is away, or has no keys, the keys in memory stay in use. Tokens of unknown keys
// do not delay others. The issuer is asked again as soon as it is back.
func TestIssuerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		f.set(func() { f.away = true })
		i := open(t, f)
		f.set(func() { f.away = false })
		if !accepted(t, i, key.sign(t, nil)) {
			t.Error("the keys were not fetched for the first token")
		}

		f.set(func() { f.away, f.asked = true, 0 })
		i = open(t, f)
		if accepted(t, i, key.sign(t, nil)) {
			t.Error("a token was accepted without any key")
		}
		f.set(func() { f.away = false })
		time.Sleep(retryEvery)
		synctest.Wait()
		if !accepted(t, i, key.sign(t, nil)) {
			t.Error("a good token was refused ten seconds after the issuer had come back")
		}
		if n := f.fetches(); n > 1 {
			t.Errorf("the keys were fetched %d times", n)
		}

		for name, fault := range map[string]func(){
			"away":    func() { f.away = true },
			"no keys": func() { f.keys = nil },
		} {
			keys := f.keys
			f.set(fault)
			time.Sleep(3 * refreshEvery)
			accepted(t, i, newKey(t, nil, "2").sign(t, nil))
			if !accepted(t, i, key.sign(t, nil)) {
				t.Errorf("%s: a token whose key is in memory was refused", name)
			}
			f.set(func() { f.away, f.keys = false, keys })
		}
		time.Sleep(retryEvery)
		if next := newKey(t, f, "3"); !accepted(t, i, next.sign(t, nil)) {
			t.Error("a token of a new key was refused after the issuer had come back")
		}
	})
}

// A silent is a transport that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Tokens that wait for an issuer that does not answer take no place from others, and they wait no
// longer than their logon may take.
func TestSilentIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key, foreign := newKey(t, f, "1"), newKey(t, nil, "2")
		i := open(t, f)
		i.client.Transport = guard{silent{}}
		began := time.Now()
		var waiting sync.WaitGroup
		for range 100 {
			waiting.Go(func() { accepted(t, i, foreign.sign(t, nil)) })
		}
		synctest.Wait()
		if !accepted(t, i, key.sign(t, nil)) || time.Since(began) > 0 {
			t.Error("a token whose key is in memory was refused, or waited")
		}
		waiting.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("a logon took %v", took)
		}
	})
}

// The number of verifications at once is bounded. One more waits as long as its logon may take.
func TestVerificationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		key := newKey(t, f, "1")
		i := open(t, f)
		for range cap(i.slots) {
			i.slots <- struct{}{}
		}
		if accepted(t, i, key.sign(t, nil)) {
			t.Error("one more was verified")
		}
		<-i.slots
		if !accepted(t, i, key.sign(t, nil)) {
			t.Error("a good token was refused")
		}
	})
}

// Keys do not come from an address that is not https, nor from a page that is of another issuer or
// too long. An issuer without an audience is refused.
func TestUnsafeIssuers(t *testing.T) {
	for _, tt := range []struct{ url, audience, want string }{
		{issuerURL, "", "audience is missing"},
		{"", audience, `the issuer is ""`},
		{"id.example.com", audience, "must be a URL"},
		{"http://id.example.com", audience, "is not https"},
		{"ftp://127.0.0.1", audience, "is not https"},
	} {
		_, err := openIssuer(t.Context(), issuerConfig{url: tt.url, audience: tt.audience})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q: %v, want %s", tt.url, tt.audience, err, tt.want)
		}
	}
	for want, document := range map[string]string{
		"is not https":    `{"issuer":"https://id.example.com","jwks_uri":"http://id.example.com/keys"}`,
		"of the issuer":   `{"issuer":"https://id.example.com/","jwks_uri":"https://id.example.com/keys"}`,
		"body too large":  `{"issuer":"` + strings.Repeat("x", maxAnswer) + `"}`,
		"has no jwks_uri": `{"issuer":"https://id.example.com"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			i := open(t, newFakeIssuer())
			i.client.Transport = guard{roundTrip(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.WriteString(document)
				return w.Result(), nil
			})}
			if err := i.fetch(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
