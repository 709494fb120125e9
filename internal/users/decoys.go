package users

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/scram"
)

// newIterations are the iterations of new verifiers. The client computes them at each logon, and
// the server where a client sends a password as it is.
const newIterations = 16384

// A cost is the cost of checking a password that is sent as it is: of PBKDF2 or of argon2id.
type cost struct {
	iterations int          // 0: argon2id
	argon2     argon2Params // zero: PBKDF2
}

// cost returns the cost of checking a plain password. It is zero for a user without password.
func (u *User) cost() cost {
	if len(u.argon2id.hash) > 0 {
		return cost{argon2: u.argon2id.argon2Params}
	}
	return cost{iterations: u.verifier.Iterations}
}

// decoys makes up credentials for names without any. A logon with such a name costs and answers the
// same as one of a user with a wrong password: everything that shows comes from the name and the
// secret salt key, so that it stays the same across restarts and on all instances with the file,
// and has a form that some user of the file has.
type decoys struct {
	iterations []int  // distinct iterations of the users' verifiers, sorted
	costs      []cost // distinct costs of the users' plain passwords, sorted
}

func newDecoys(users []*User) decoys {
	var d decoys
	for _, u := range users {
		if n := u.verifier.Iterations; n > 0 && !slices.Contains(d.iterations, n) {
			d.iterations = append(d.iterations, n)
		}
		if c := u.cost(); c != (cost{}) && !slices.Contains(d.costs, c) {
			d.costs = append(d.costs, c)
		}
	}
	if len(d.iterations) == 0 {
		d.iterations = []int{newIterations}
	}
	if len(d.costs) == 0 {
		d.costs = []cost{{iterations: newIterations}}
	}
	slices.Sort(d.iterations)
	slices.SortFunc(d.costs, func(a, b cost) int {
		return cmp.Or(cmp.Compare(a.iterations, b.iterations), cmp.Compare(a.argon2.memory, b.argon2.memory),
			cmp.Compare(a.argon2.passes, b.argon2.passes), cmp.Compare(a.argon2.threads, b.argon2.threads))
	})
	return d
}

// verifier returns the verifier for a SCRAM conversation with a user, and a decoy if there is none.
func (s *Set) verifier(name string) (v scram.Verifier, known bool) {
	v = scram.Decoy(s.saltKey, name, choose(s, "iterations", name, s.decoys.iterations))
	if failpoint.On(failpoint.UsersSaltChanges) {
		v = scram.NewVerifier(name, v.Iterations)
	}
	if u := s.byName[name]; u != nil && u.verifier.Iterations > 0 {
		return u.verifier, true
	}
	return v, false
}

// plain returns the verifier or the hash for the plain password of a user, and a decoy if there is
// none. The hash is used if it has bytes.
func (s *Set) plain(name string) (v scram.Verifier, h argon2Hash, known bool) {
	c := choose(s, "cost", name, s.decoys.costs)
	u := s.byName[name]
	if known = u != nil && u.cost() != (cost{}); known {
		return u.verifier, u.argon2id, true
	}
	if c.iterations > 0 {
		return scram.Decoy(s.saltKey, name, c.iterations), argon2Hash{}, false
	}
	return v, argon2Hash{c.argon2, s.mac("argon2 salt", name)[:argon2Salt], s.mac("argon2 hash", name)}, false
}

// choose returns one of the values, always the same for a name.
func choose[T any](s *Set, purpose, name string, values []T) T {
	return values[binary.BigEndian.Uint64(s.mac(purpose, name))%uint64(len(values))]
}

// mac returns 32 bytes that nobody without the salt key can compute.
func (s *Set) mac(purpose, name string) []byte {
	h := hmac.New(sha256.New, s.saltKey)
	h.Write([]byte(purpose + " of " + name))
	return h.Sum(nil)
}
