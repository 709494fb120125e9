package users

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2Params are the cost of a hash.
type argon2Params struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// The bounds of hashes that a file may have: a client causes this cost before it is authenticated.
const (
	maxArgon2Memory  = 256 << 10 // KiB
	maxArgon2Passes  = 10
	maxArgon2Threads = 8
	minArgon2Bytes   = 8  // of a salt and of a hash
	maxArgon2Bytes   = 64 // of a salt and of a hash
)

// The parameters of new hashes: the smaller of the recommendations of OWASP, since an instance
// computes a hash for each logon.
var newArgon2Params = argon2Params{memory: 19 << 10, passes: 2, threads: 1}

const (
	argon2Salt = 16 // bytes of a new salt
	argon2Key  = 32 // bytes of a new hash
)

// An argon2Hash is the hash of a password.
type argon2Hash struct {
	argon2Params
	salt, hash []byte
}

// newArgon2id hashes a password with a new salt.
func newArgon2id(password string) argon2Hash {
	salt := make([]byte, argon2Salt)
	rand.Read(salt) // never fails
	h := argon2Hash{newArgon2Params, salt, make([]byte, argon2Key)}
	h.hash = h.compute(password)
	return h
}

var errArgon2Form = errors.New("is not the argon2id hash of a password: the form is $argon2id$v=19$m=MEMORY,t=PASSES,p=THREADS$SALT$HASH, the last two in base64 without padding")

// parseArgon2id reads the usual text form of a hash. Errors do not quote the text.
func parseArgon2id(text string) (argon2Hash, error) {
	var h argon2Hash
	var version int
	var salt, hash string
	// %s takes all characters up to the end, since the text has no spaces.
	n, err := fmt.Sscanf(text, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &h.memory, &h.passes, &h.threads, &salt)
	if err != nil || n != 5 || version != argon2.Version {
		return argon2Hash{}, errArgon2Form
	}
	salt, hash, found := strings.Cut(salt, "$")
	if !found {
		return argon2Hash{}, errArgon2Form
	}
	encoding := base64.RawStdEncoding.Strict()
	var errs [2]error
	h.salt, errs[0] = encoding.DecodeString(salt)
	h.hash, errs[1] = encoding.DecodeString(hash)
	if errors.Join(errs[:]...) != nil || h.String() != text {
		return argon2Hash{}, errArgon2Form
	}
	return h, h.check()
}

// check returns an error if the hash is out of bounds.
func (h argon2Hash) check() error {
	wrong := func(b []byte) bool { return len(b) < minArgon2Bytes || len(b) > maxArgon2Bytes }
	switch {
	case h.threads < 1 || h.threads > maxArgon2Threads:
		return fmt.Errorf("has p=%d threads: use 1 to %d", h.threads, maxArgon2Threads)
	case h.passes < 1 || h.passes > maxArgon2Passes:
		return fmt.Errorf("has t=%d passes: use 1 to %d", h.passes, maxArgon2Passes)
	case h.memory < 8*uint32(h.threads) || h.memory > maxArgon2Memory:
		return fmt.Errorf("has m=%d KiB of memory: use %d to %d", h.memory, 8*h.threads, maxArgon2Memory)
	case wrong(h.salt) || wrong(h.hash):
		return fmt.Errorf("has a salt or a hash that is not of %d to %d bytes", minArgon2Bytes, maxArgon2Bytes)
	}
	return nil
}

// String returns the text form, which is a secret: it allows to try passwords.
func (h argon2Hash) String() string {
	encoding := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads,
		encoding.EncodeToString(h.salt), encoding.EncodeToString(h.hash))
}

// compute hashes a password in the same way.
func (h argon2Hash) compute(password string) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.passes, h.memory, h.threads, uint32(len(h.hash)))
}

// matches reports whether the hash is of the password. It takes the same time for each wrong one.
func (h argon2Hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.compute(password), h.hash) == 1
}
