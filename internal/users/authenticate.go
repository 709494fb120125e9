package users

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/scram"
)

// ErrDenied reports credentials that authenticate nobody. It says the same for each cause.
var ErrDenied = errors.New("not authenticated")

// A DeniedError is an ErrDenied with its cause, which is for the log of the server: a client must
// not learn it.
type DeniedError struct {
	User  string // as the client has stated it, perhaps unknown; untrusted text
	Cause string // never quotes a secret
}

// Error returns the text of ErrDenied, without the cause.
func (e *DeniedError) Error() string { return ErrDenied.Error() }

// Unwrap returns ErrDenied.
func (e *DeniedError) Unwrap() error { return ErrDenied }

func denied(user, format string, args ...any) error {
	return &DeniedError{user, fmt.Sprintf(format, args...)}
}

// maxPassword is the longest accepted password in bytes.
const maxPassword = 4096

// An Attempt is a logon. User and Password are as the client has sent them.
type Attempt struct {
	User     string // may be empty: the certificate or the SCRAM conversation names the user
	Password string // a password as it is, or the start of a SCRAM conversation, or empty with a certificate

	// Source is the network that the attempt comes from. Costly computations of one source wait for
	// each other.
	Source string
	// TLS is the state of the connection after its handshake; nil without TLS.
	TLS *tls.ConnectionState
	// Challenge sends a text to the client, which logs on again, and returns the password of that
	// logon. Its error ends the attempt. A conversation needs two challenges.
	Challenge func(ctx context.Context, user, text string) (answer string, err error)
}

// Authenticate decides a logon and returns the name of the user. A password, if there is one, has to
// be right; without a password, a verified client certificate with a name of exactly one user
// counts. If the certificate names a user, it must be the user that logs on.
//
// The error is a *DeniedError if the credentials are wrong; other errors are those of ctx and of
// Challenge. Costly computations are bounded in number. An attempt waits for its turn until ctx
// ends, which does not interrupt a computation.
func (s *Set) Authenticate(ctx context.Context, a Attempt) (user string, err error) {
	owner, err := s.certificateUser(a.TLS)
	if err != nil {
		return "", err
	}
	if owner != "" && a.User != "" && owner != a.User && !failpoint.On(failpoint.UsersCertOfOther) {
		return "", denied(a.User, "the client certificate is that of the user %q", owner)
	}
	clientFirst, isScram := scram.CutInitial(a.Password)
	switch {
	case isScram && a.Challenge == nil:
		return "", denied(a.User, "a SCRAM conversation is not possible here")
	case isScram:
		user, err = s.converse(ctx, a, clientFirst)
	case a.Password != "":
		user, err = s.checkPlain(ctx, cmp.Or(a.User, owner), a)
	case owner != "":
		return owner, nil
	default:
		return "", denied(a.User, "no password, and no client certificate of a user")
	}
	if err == nil && owner != "" && user != owner && !failpoint.On(failpoint.UsersCertOfOther) {
		return "", denied(user, "the client certificate is that of the user %q", owner)
	}
	return user, err
}

// certificateUser returns the user whose name a verified client certificate has, or "".
func (s *Set) certificateUser(state *tls.ConnectionState) (owner string, err error) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return "", nil
	}
	for _, name := range certificateNames(state.VerifiedChains[0][0]) {
		u := s.byCert[name]
		switch {
		case u == nil || u.Name == owner:
		case owner != "" && !failpoint.On(failpoint.UsersCertAmbiguous):
			return "", denied(owner, "the client certificate has names of several users: %q and %q", owner, u.Name)
		default:
			owner = u.Name
		}
	}
	return owner, nil
}

// certificateNames returns the names of a certificate's subject.
func certificateNames(c *x509.Certificate) []string {
	names := append([]string{c.Subject.CommonName}, c.DNSNames...)
	names = append(names, c.EmailAddresses...)
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return names
}

// converse has a SCRAM conversation.
func (s *Set) converse(ctx context.Context, a Attempt, clientFirst string) (user string, err error) {
	known := false
	server := scram.NewServer(scram.Binding(a.TLS), func(name string) (v scram.Verifier) {
		v, known = s.verifier(name)
		return v
	})
	serverFirst, user, err := server.First(clientFirst)
	switch {
	case err != nil:
		return "", denied(cmp.Or(a.User, user), "%v", err)
	case a.User != "" && a.User != user:
		return "", denied(a.User, "the SCRAM conversation is of another user, %q", user)
	case !known && failpoint.On(failpoint.UsersUnknownAtOnce):
		return "", denied(user, "unknown user")
	}
	answer, err := a.Challenge(ctx, user, serverFirst)
	if err != nil {
		return "", err
	}
	serverFinal, err := server.Final(answer)
	switch {
	case !known:
		return "", denied(user, "%s", s.without("SCRAM verifier", user))
	case err != nil:
		return "", denied(user, "%v", err)
	}
	if answer, err = a.Challenge(ctx, user, serverFinal); err != nil {
		return "", err
	}
	if answer != "" {
		return "", denied(user, "the client has answered the server's proof with another password")
	}
	return user, nil
}

// without explains why a user has no credentials of a kind.
func (s *Set) without(credentials, user string) string {
	if _, found := s.byName[user]; found {
		return "the user has no " + credentials
	}
	return "unknown user"
}

// hashSlots bound the computations of the process that run at once, because clients that are not
// authenticated cause them: they take at most half of the processors. A hash of argon2id takes up to
// 256 MiB, so there are at most four.
var hashSlots = make(chan struct{}, max(1, min(runtime.GOMAXPROCS(0)/2, 4)))

// checkPlain checks a password that the client has sent as it is.
func (s *Set) checkPlain(ctx context.Context, user string, a Attempt) (string, error) {
	if n := len(a.Password); n > maxPassword {
		return "", denied(user, "the password has %d bytes, more than the maximum %d", n, maxPassword)
	}
	verifier, hash, known := s.plain(user)
	if !known && failpoint.On(failpoint.UsersUnknownAtOnce) {
		return "", denied(user, "unknown user")
	}
	check := verifier.Check
	if len(hash.hash) > 0 {
		check = hash.matches
	}
	right, err := compute(ctx, a.Source, func() bool { return check(a.Password) })
	switch {
	case err != nil:
		return "", err
	case !known:
		return "", denied(user, "%s", s.without("password", user))
	case !right:
		return "", denied(user, "wrong password")
	}
	return user, nil
}

// compute waits for the turn of a source and for a slot, and runs a costly check.
func compute(ctx context.Context, source string, check func() bool) (bool, error) {
	if failpoint.On(failpoint.UsersComputesAll) {
		return check(), nil
	}
	release, err := sourceTurns.take(ctx, source)
	if err != nil {
		return false, err
	}
	defer release()
	select {
	case hashSlots <- struct{}{}:
		defer func() { <-hashSlots }()
		return check(), nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
