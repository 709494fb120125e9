package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The iterations that a verifier may have. The client computes them at each logon, so
// they are bounded for its sake.
const (
	MinIterations = 4096
	MaxIterations = 1_000_000
)

// The bytes of a salt: of a new one, and the bounds of a parsed one.
const (
	saltBytes    = 16
	minSaltBytes = 8
	maxSaltBytes = 64
)

// A Verifier is what a server keeps of a password: enough to check it and to prove
// itself, and not enough to log on with. The zero Verifier accepts nothing.
type Verifier struct {
	Iterations int
	Salt       []byte // 8 to 64 bytes
	StoredKey  []byte // 32 bytes
	ServerKey  []byte // 32 bytes
}

// NewVerifier returns the verifier of the password, with a new salt. Iterations outside
// MinIterations and MaxIterations become the nearest of these. The caller checks the
// password with CheckText.
func NewVerifier(password string, iterations int) Verifier {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: see its documentation
	iterations = min(max(iterations, MinIterations), MaxIterations)
	salted, err := saltedPassword(password, salt, iterations)
	if err != nil {
		return Verifier{} // FIPS 140-only mode refuses; accepts nothing
	}
	return Verifier{iterations, salt, storedKey(salted), serverKey(salted)}
}

// Decoy returns the verifier to converse with for a user that does not exist: no password
// fits, and its salt is always the same for a user, so that the answer does not reveal
// whether the user exists. secret is 32 random bytes that the server keeps for as long as
// its users.
func Decoy(secret []byte, user string, iterations int) Verifier {
	mac := func(purpose string) []byte { return sum(secret, purpose+" of "+user) }
	return Verifier{iterations, mac("salt")[:saltBytes], mac("stored key"), mac("server key")}
}

// ParseVerifier reads the form that String writes. Errors do not quote the text.
func ParseVerifier(text string) (Verifier, error) {
	fail := func(reason string) (Verifier, error) {
		return Verifier{}, fmt.Errorf("the verifier %s: the form is %s$ITERATIONS:SALT$STORED_KEY:SERVER_KEY, the last three in base64", reason, Mechanism)
	}
	if len(text) > MaxMessage {
		return fail("is too long")
	}
	mechanism, rest, _ := strings.Cut(text, "$")
	head, keys, found := strings.Cut(rest, "$")
	count, salt, inHead := strings.Cut(head, ":")
	stored, server, inKeys := strings.Cut(keys, ":")
	if mechanism != Mechanism || !found || !inHead || !inKeys {
		return fail("is incomplete or of another mechanism")
	}
	var v Verifier
	var errs [4]error
	v.Iterations, errs[0] = parseIterations(count)
	v.Salt, errs[1] = encoding.DecodeString(salt)
	v.StoredKey, errs[2] = encoding.DecodeString(stored)
	v.ServerKey, errs[3] = encoding.DecodeString(server)
	switch {
	case errs[0] != nil:
		return fail("has iterations that are not a number in [" + strconv.Itoa(MinIterations) + ", " + strconv.Itoa(MaxIterations) + "]")
	case errors.Join(errs[1:]...) != nil:
		return fail("is not base64")
	case v.check() != nil:
		return fail("has a salt or a key of a wrong length")
	}
	return v, nil
}

// String returns the text of the verifier. It is a secret: who has it can impersonate the
// server, and can try passwords.
func (v Verifier) String() string {
	b64 := encoding.EncodeToString
	return fmt.Sprintf("%s$%d:%s$%s:%s", Mechanism, v.Iterations, b64(v.Salt), b64(v.StoredKey), b64(v.ServerKey))
}

// Check reports whether the password is the verifier's. It costs the verifier's
// iterations; the comparison takes the same time for each wrong password.
func (v Verifier) Check(password string) bool {
	if v.check() != nil {
		return false
	}
	salted, err := saltedPassword(password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(storedKey(salted), v.StoredKey) == 1
}

// check returns an error if the verifier is incomplete or out of bounds.
func (v Verifier) check() error {
	if v.Iterations < MinIterations || v.Iterations > MaxIterations || len(v.Salt) < minSaltBytes || len(v.Salt) > maxSaltBytes ||
		len(v.StoredKey) != sha256.Size || len(v.ServerKey) != sha256.Size {
		return errors.New("the user has no usable verifier")
	}
	return nil
}

// parseIterations reads a number of iterations within the bounds.
func parseIterations(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n < MinIterations || n > MaxIterations {
		return 0, fmt.Errorf("the iterations are not a number in [%d, %d]", MinIterations, MaxIterations)
	}
	return int(n), nil
}

// The keys of RFC 5802, section 3.

func saltedPassword(password string, salt []byte, iterations int) ([]byte, error) {
	return pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
}

func clientKey(salted []byte) []byte { return sum(salted, "Client Key") }

func serverKey(salted []byte) []byte { return sum(salted, "Server Key") }

func storedKey(salted []byte) []byte { return hashOf(clientKey(salted)) }

func hashOf(key []byte) []byte {
	h := sha256.Sum256(key)
	return h[:]
}

// sum returns the HMAC of the text.
func sum(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
