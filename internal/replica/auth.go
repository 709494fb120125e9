package replica

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	nonceBytes = 32
	macBytes   = sha256.Size
	// SecretBytes is the length of a link secret.
	SecretBytes = 32
)

// An authenticator proves to each side of a connection that the other side knows the link secret
// and that the hellos arrived unchanged. A proof is an HMAC-SHA-256 over the role of its sender,
// both nonces, and the hellos sent before. So a proof that was reflected or taken from another
// connection is invalid. Without a secret a proof shows only that both sides have none.
//
// While the secret is replaced, a side has two. The side that is dialled then opens with a proof for
// each of them; the dialler continues with one that it has, too.
//
// An authenticator does no I/O. Both sides open with a nonce, the dialler first. The dialled side
// proves itself first, so that the dialler reveals no names to strangers. Each side sends another
// proof after its hello.
type authenticator struct {
	secrets [][]byte         // any of which the link may use; one, once the other side has proven itself
	dialled bool             // this side has dialled
	nonces  [2]nonce         // the dialler's, then the other side's
	hellos  [][macBytes]byte // SHA-256 sums of the hellos sent so far, by both sides
}

type nonce [nonceBytes]byte

var errNotProven = errors.New("the peer does not know the link secret")

// newAuthenticator returns the authenticator of one connection. ours must be a nonce that was never
// used before.
func newAuthenticator(secrets [][]byte, dialled bool, ours nonce) *authenticator {
	if len(secrets) == 0 {
		secrets = [][]byte{nil}
	}
	a := &authenticator{secrets: secrets, dialled: dialled}
	a.nonces[a.index(dialled)] = ours
	return a
}

// index returns the index in nonces of the dialler or of the dialled side.
func (a *authenticator) index(dialler bool) int {
	if dialler {
		return 0
	}
	return 1
}

// setPeerNonce records the nonce of the other side.
func (a *authenticator) setPeerNonce(theirs nonce) { a.nonces[a.index(!a.dialled)] = theirs }

// addHello records the payload of a hello, ours or the peer's. Both sides call it in the same
// order, the dialler's hello first.
func (a *authenticator) addHello(hello []byte) { a.hellos = append(a.hellos, sha256.Sum256(hello)) }

// prove returns our proof over the handshake so far, for each secret that the link may use.
func (a *authenticator) prove() (proofs []byte) {
	for _, secret := range a.secrets {
		proofs = append(proofs, a.proof(secret, a.dialled)...)
	}
	return proofs
}

// verify returns an error unless one of the other side's proofs is right.
func (a *authenticator) verify(proofs []byte) error {
	for _, secret := range a.secrets {
		want := a.proof(secret, !a.dialled)
		for proof := range slices.Chunk(proofs, macBytes) {
			if hmac.Equal(proof, want) || failpoint.On(failpoint.R2AnyProof) {
				a.secrets = [][]byte{secret}
				return nil
			}
		}
	}
	return errNotProven
}

// proofLabel keeps these proofs apart from other uses of the secret.
const proofLabel = "holdfast link proof\n"

func (a *authenticator) proof(secret []byte, ofDialler bool) []byte {
	m := hmac.New(sha256.New, secret)
	write(m, []byte(proofLabel))
	role := byte(a.index(ofDialler))
	if failpoint.On(failpoint.R2ProofWithoutRole) {
		role = 0
	}
	write(m, []byte{role, byte(len(a.hellos))})
	for _, n := range a.nonces {
		if !failpoint.On(failpoint.R2ProofWithoutNonces) {
			write(m, n[:])
		}
	}
	for _, sum := range a.hellos {
		if !failpoint.On(failpoint.R2ProofWithoutHellos) {
			write(m, sum[:])
		}
	}
	return m.Sum(nil)
}

func write(m hash.Hash, b []byte) { _, _ = m.Write(b) } // never fails

// An openFrame is the first frame of each side.
type openFrame struct {
	version uint64
	nonce   nonce // not read if the version is not ours
}

func (f *openFrame) fields(c codec) {
	if c.uint(&f.version); f.version == protocolVersion {
		c.fixed(f.nonce[:], false)
	}
}

// FixedSecret returns Options.Secrets for a secret that never changes; nil: there is none.
func FixedSecret(secret []byte) func() [][]byte {
	if len(secret) == 0 {
		return nil
	}
	return func() [][]byte { return [][]byte{secret} }
}

// A proofFrame is the proof of one side.
type proofFrame []byte

func (f *proofFrame) fields(c codec) { c.bytes((*[]byte)(f)) }
