package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// Bounds of the work for tokens, and of the requests to the issuer.
const (
	maxToken     = 16 << 10         // bytes
	leeway       = 30 * time.Second // difference of the clocks of issuer and server
	fetchTimeout = 5 * time.Second  // of one request
	maxAnswer    = 1 << 20          // bytes of one answer
	refreshEvery = time.Hour        // a key that the issuer has withdrawn is accepted for this long
	retryEvery   = 10 * time.Second // after a failed fetch
	// unknownEvery is the shortest time between two fetches for tokens that no key in memory
	// verifies. Clients that are not authenticated cause these fetches.
	unknownEvery = 10 * time.Second
)

// methods are the signatures that are accepted. All are asymmetric: with HMAC, anybody could sign
// with the public key of the issuer.
var methods = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// An issuerConfig describes an issuer. url and audience are required.
type issuerConfig struct {
	url       string            // the claim iss of the tokens, without a / at the end unless the claim has it
	audience  string            // one of the claim aud
	transport http.RoundTripper // nil: http.DefaultTransport
	log       *slog.Logger
}

// An issuer verifies the tokens of an OpenID Connect issuer. It has the issuer's keys in memory, so
// that a logon causes no request. It is safe for concurrent use.
type issuer struct {
	url     string
	parser  *jwt.Parser
	client  *http.Client
	log     *slog.Logger
	keys    atomic.Pointer[keyfunc.Keyfunc] // nil until the issuer has sent them
	slots   chan struct{}                   // one element for each verification under way
	unknown *rate.Limiter                   // fetches for tokens that no key verifies
	wanted  chan chan struct{}              // asks keepFresh for a fetch; it closes the element after that
	stop    context.CancelFunc
	running sync.WaitGroup
}

// openIssuer fetches the keys of an issuer and keeps them fresh until ctx ends or close is called.
// If the issuer does not answer, openIssuer logs that and tries again in the background: the server
// must take part in replication even if nobody can log on.
func openIssuer(ctx context.Context, c issuerConfig) (*issuer, error) {
	if c.audience == "" {
		return nil, errors.New("the audience is missing: without it, tokens for any other service of the issuer would be accepted")
	}
	if u, err := url.Parse(c.url); err != nil || u.Host == "" {
		return nil, fmt.Errorf("the issuer is %q: it must be a URL, as in the claim iss of its tokens", c.url)
	} else if !isSafe(u) {
		return nil, notSafe(u)
	}
	if c.transport == nil {
		c.transport = http.DefaultTransport
	}
	i := &issuer{
		url: c.url, log: c.log,
		parser: jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithIssuer(c.url), jwt.WithAudience(c.audience),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway)),
		client:  &http.Client{Transport: guard{c.transport}, Timeout: fetchTimeout},
		slots:   make(chan struct{}, runtime.GOMAXPROCS(0)),
		unknown: rate.NewLimiter(rate.Every(unknownEvery), 1),
		wanted:  make(chan chan struct{}),
	}
	ctx, i.stop = context.WithCancel(ctx)
	next := i.refresh(ctx)
	i.running.Go(func() { i.keepFresh(ctx, next) })
	return i, nil
}

// close ends the requests to the issuer. The keys stay in use.
func (i *issuer) close() {
	i.stop()
	i.running.Wait()
}

var errNoKeys = errors.New("the issuer has not sent its keys yet")

// verify returns the claims of a token that is valid now. Its errors contain nothing of the token.
func (i *issuer) verify(ctx context.Context, token string) (jwt.MapClaims, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("the token has %d bytes: at most %d are allowed", len(token), maxToken)
	}
	claims, err := i.parse(ctx, token)
	unverified := errors.Is(err, errNoKeys) || errors.Is(err, jwt.ErrTokenUnverifiable) || errors.Is(err, jwt.ErrTokenSignatureInvalid)
	if unverified && i.unknown.Allow() { // the issuer may have a new key
		i.fetchNow(ctx)
		claims, err = i.parse(ctx, token)
	}
	switch {
	case err == nil:
		return claims, nil
	case errors.Is(err, jwkset.ErrKeyNotFound): // its text has the key id, which anybody may have written
		return nil, errors.New("the issuer has no key with the key id of the token, as far as is known here")
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, errors.New("the password is not a token (JWT)")
	}
	return nil, err
}

// parse verifies a token with the keys that are in memory.
func (i *issuer) parse(ctx context.Context, token string) (jwt.MapClaims, error) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("too many tokens are being verified: %w", ctx.Err())
	}
	keys := i.keys.Load()
	if keys == nil {
		return nil, errNoKeys
	}
	claims := jwt.MapClaims{}
	_, err := i.parser.ParseWithClaims(token, claims, (*keys).KeyfuncCtx(ctx))
	return claims, err
}

// fetchNow has the keys fetched, and waits for that until ctx ends.
func (i *issuer) fetchNow(ctx context.Context) {
	done := make(chan struct{})
	select {
	case i.wanted <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// keepFresh fetches the keys after next, then regularly, and whenever fetchNow asks for it.
func (i *issuer) keepFresh(ctx context.Context, next time.Duration) {
	for {
		var done chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		case done = <-i.wanted:
		}
		next = i.refresh(ctx)
		if done != nil {
			close(done)
		}
	}
}

// refresh fetches the keys and returns the time until the next fetch. If the fetch fails, the keys
// in memory stay in use: an issuer that is away locks nobody out.
func (i *issuer) refresh(ctx context.Context) (next time.Duration) {
	if err := i.fetch(ctx); err != nil {
		i.log.Warn("cannot fetch the keys of the issuer", "issuer", i.url, "error", err, "retry_in", retryEvery)
		return retryEvery
	}
	return refreshEvery
}

// fetch replaces the keys in memory.
func (i *issuer) fetch(ctx context.Context) error {
	address, err := i.discover(ctx)
	if err != nil {
		return err
	}
	set, err := jwkset.NewStorageFromHTTP(address, jwkset.HTTPClientStorageOptions{Client: i.client, Ctx: ctx, HTTPTimeout: fetchTimeout})
	if err != nil {
		return err
	}
	if all, err := set.KeyReadAll(ctx); err != nil || len(all) == 0 {
		return errors.Join(err, fmt.Errorf("%s has no keys", address))
	}
	keys, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: set})
	if err != nil {
		return err
	}
	i.keys.Store(&keys)
	return nil
}

// discover returns the address of the issuer's keys.
func (i *issuer) discover(ctx context.Context) (string, error) {
	address := strings.TrimSuffix(i.url, "/") + "/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := i.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s", address, response.Status)
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	if document.Issuer != i.url {
		return "", fmt.Errorf("%s is of the issuer %q, not of %q: give the issuer exactly as it names itself", address, document.Issuer, i.url)
	}
	if document.Keys == "" {
		return "", fmt.Errorf("%s has no jwks_uri", address)
	}
	return document.Keys, nil
}

// A guard is a transport that makes no request in the clear and reads at most maxAnswer bytes of an
// answer. It covers the redirects as well, and the address of the keys.
type guard struct{ next http.RoundTripper }

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isSafe(r.URL) {
		return nil, notSafe(r.URL)
	}
	response, err := g.next.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// isSafe reports whether nobody in between can replace the answer of u.
func isSafe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

func notSafe(u *url.URL) error {
	return fmt.Errorf("%s is not https: anybody in between could send keys of their own", u.Redacted())
}
