package users

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/scram"
)

// A Set has all users of a file. It does not change. Safe for concurrent use.
type Set struct {
	version uint64
	saltKey []byte
	users   []*User // in the order of the file
	byName  map[string]*User
	byCert  map[string]*User
	hash    [32]byte
	decoys  decoys
}

// A User is one user. Safe for concurrent use.
type User struct {
	Name        string
	ClientNames Rules // names that the user's clients may have
	Publish     Rules // topics that the user may publish to
	Subscribe   Rules // topics that the user may receive
	Admin       bool  // may use the changing actions of the admin port
	Limits      Limits

	cert     string         // empty: none
	verifier scram.Verifier // zero: none
	argon2id argon2Hash     // zero: none
}

// Limits bound the cost of one user. 0 is the server's default.
type Limits struct {
	Connections    int
	Publishers     int
	Subscriptions  int
	BytesPerSecond int64
	PublisherRate  int // new publishers per second
}

// Version returns the version of the permissions.
func (s *Set) Version() uint64 { return s.version }

// Hash returns a hash of the permissions on which the instances of a group have to agree: the names
// of the users and their client names, publish and subscribe rules. It depends neither on the order
// in the file nor on credentials and limits.
func (s *Set) Hash() [32]byte { return s.hash }

// User returns the user of a name.
func (s *Set) User(name string) (u *User, found bool) {
	u, found = s.byName[name]
	return u, found
}

// All returns the users in the order of the file. The slice belongs to the set and must not be
// changed.
func (s *Set) All() []*User { return s.users }

// Cert returns the name of the client certificate that authenticates the user, or "".
func (u *User) Cert() string { return u.cert }

// HasPassword reports in which forms the user has a password.
func (u *User) HasPassword() (scram, argon2id bool) {
	return u.verifier.Iterations > 0, len(u.argon2id.hash) > 0
}

// hashPermissions computes Hash.
func (s *Set) hashPermissions() {
	h := sha256.New()
	byName := slices.SortedFunc(slices.Values(s.users), func(a, b *User) int { return strings.Compare(a.Name, b.Name) })
	hashCount(h, len(byName))
	for _, u := range byName {
		hashTexts(h, []string{u.Name})
		for _, r := range []Rules{u.ClientNames, u.Publish, u.Subscribe} {
			hashTexts(h, r.allow.sorted())
			hashTexts(h, r.deny.sorted())
		}
	}
	h.Sum(s.hash[:0])
}

// hashTexts adds a list of texts to a hash, with lengths, so that no two lists look alike.
func hashTexts(h hash.Hash, texts []string) {
	hashCount(h, len(texts))
	for _, text := range texts {
		hashCount(h, len(text))
		h.Write([]byte(text))
	}
}

func hashCount(h hash.Hash, n int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}
