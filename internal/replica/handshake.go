package replica

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	nonceBytes = 32
	macBytes   = sha256.Size
	// SecretBytes is the length of a link secret.
	SecretBytes = 32
)

// A handshake proves to each side of a connection that the other one knows the link
// secret, and that their hellos are those that were sent. A proof is an HMAC-SHA-256
// over the role of the side that gives it, both nonces, and the hellos that were said
// before: one that is reflected, or of another connection, is none. Without a secret it
// proves only that both sides have none.
//
// It decides, and does no I/O. Both sides open with a nonce, and the dialler first; the
// side that was dialled proves itself first, so that the dialler names nothing to
// strangers; each proves itself again behind its hello.
type handshake struct {
	secret  []byte
	dialled bool             // by us
	nonces  [2]nonce         // of the dialler, of the other side
	hellos  [][macBytes]byte // sums of the hellos that were said
}

type nonce [nonceBytes]byte

var errNotProven = errors.New("the peer does not know the link secret")

// newHandshake begins a handshake with a nonce that was never used before.
func newHandshake(secret []byte, dialled bool, ours nonce) *handshake {
	h := &handshake{secret: secret, dialled: dialled}
	h.nonces[h.place(dialled)] = ours
	return h
}

// place is that of the dialler, or of the side that was dialled.
func (h *handshake) place(dialler bool) int {
	if dialler {
		return 0
	}
	return 1
}

// opened takes in the other side's nonce.
func (h *handshake) opened(theirs nonce) { h.nonces[h.place(!h.dialled)] = theirs }

// said notes the payload of a hello, ours or theirs, in the order in which both sides
// hear of them: the dialler's first.
func (h *handshake) said(hello []byte) { h.hellos = append(h.hellos, sha256.Sum256(hello)) }

// prove returns our proof.
func (h *handshake) prove() []byte { return h.proof(h.dialled) }

// check says what is wrong with the other side's proof.
func (h *handshake) check(proof []byte) error {
	if !hmac.Equal(proof, h.proof(!h.dialled)) && !mut.On(mut.R2AnyProof) {
		return errNotProven
	}
	return nil
}

// proofLabel tells these proofs from whatever else may be made with the secret.
const proofLabel = "holdfast link proof\n"

func (h *handshake) proof(ofDialler bool) []byte {
	m := hmac.New(sha256.New, h.secret)
	write(m, []byte(proofLabel))
	role := byte(h.place(ofDialler))
	if mut.On(mut.R2ProofWithoutRole) {
		role = 0
	}
	write(m, []byte{role, byte(len(h.hellos))})
	for _, n := range h.nonces {
		if !mut.On(mut.R2ProofWithoutNonces) {
			write(m, n[:])
		}
	}
	for _, sum := range h.hellos {
		write(m, sum[:])
	}
	return m.Sum(nil)
}

func write(m hash.Hash, b []byte) { _, _ = m.Write(b) } // never fails

// An openFrame is what each side sends first.
type openFrame struct {
	version uint64
	nonce   nonce // of another version it is not read
}

func (f *openFrame) fields(c codec) {
	if c.uint(&f.version); f.version == protocolVersion {
		c.fixed(f.nonce[:], false)
	}
}

// A proofFrame is a proof.
type proofFrame []byte

func (f *proofFrame) fields(c codec) { c.bytes((*[]byte)(f)) }
