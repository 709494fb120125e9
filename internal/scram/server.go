package scram

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// ErrClientProof says that the client has not proven that it knows the password.
var ErrClientProof = errors.New("the client has not proven that it knows the password")

// A Server is the server's side of one conversation: First and Final, once each and in
// this order. It costs a few hashes, whatever the verifier's iterations are.
type Server struct {
	binding  []byte
	lookup   func(user string) Verifier
	nonce    string // our part, then both
	gs2      string
	auth     string // the messages so far, as the signatures cover them
	verifier Verifier
	next     step
}

// NewServer begins a conversation. binding is the tls-exporter value of the connection,
// empty if there is none. lookup returns the verifier of a user; for a user that does not
// exist it returns a Decoy, so that the client cannot tell.
func NewServer(binding []byte, lookup func(user string) Verifier) *Server {
	return &Server{binding: binding, lookup: lookup, nonce: newNonce()}
}

// First reads client-first, and returns the answer, server-first, and the user that the
// client claims to be. A server that has a binding refuses a client that says the server
// appears to have none: somebody has hidden it.
func (s *Server) First(clientFirst string) (serverFirst, user string, err error) {
	if s.next != first {
		return "", "", errors.New("the SCRAM conversation is not at client-first")
	}
	s.next = failed
	if err := checkMessage("client-first", clientFirst); err != nil {
		return "", "", err
	}
	bare, err := s.cutHeader(clientFirst)
	if err != nil {
		return "", "", err
	}
	fields, err := attributes("client-first", bare, "n", "r")
	if err != nil {
		return "", "", err
	}
	if len(fields[1]) > maxNonce {
		return "", "", fmt.Errorf("the client's nonce has %d bytes, more than the maximum %d", len(fields[1]), maxNonce)
	}
	if user, err = unescapeUser(fields[0]); err != nil {
		return "", "", err
	}
	s.verifier = s.lookup(user)
	if err := s.verifier.check(); err != nil {
		return "", user, err
	}
	s.nonce = fields[1] + s.nonce
	serverFirst = "r=" + s.nonce + ",s=" + encoding.EncodeToString(s.verifier.Salt) + ",i=" + strconv.Itoa(s.verifier.Iterations)
	s.auth = bare + "," + serverFirst
	s.next = final
	return serverFirst, user, nil
}

// cutHeader checks the channel binding flag, and returns client-first without its header.
func (s *Server) cutHeader(text string) (bare string, err error) {
	flag, rest, _ := strings.Cut(text, ",")
	bare, found := strings.CutPrefix(rest, ",")
	bound := len(s.binding) > 0
	switch {
	case !found:
		return "", errors.New("the client-first message has no header, or one with an identity to act for, which is not supported")
	case flag == "y" && bound:
		return "", errors.New("the client was told that this server has no channel binding, which is wrong: the connection may be intercepted")
	case flag == "p="+bindingName && !bound:
		return "", errors.New("the client binds to a TLS connection that does not end at this server, or is older than TLS 1.3")
	case flag != "n" && flag != "y" && flag != "p="+bindingName:
		return "", errors.New("the client asks for a channel binding other than " + bindingName)
	}
	s.gs2 = strings.TrimSuffix(text, bare)
	return bare, nil
}

// Final checks client-final and returns the answer, server-final. It returns an error that
// is ErrClientProof if the password is wrong, and another one if the channel binding
// differs or the message is malformed. A client is to be told neither.
func (s *Server) Final(clientFinal string) (serverFinal string, err error) {
	if s.next != final {
		return "", errors.New("the SCRAM conversation is not at client-final")
	}
	s.next = failed
	if err := checkMessage("client-final", clientFinal); err != nil {
		return "", err
	}
	fields, err := attributes("client-final", clientFinal, "c", "r", "p")
	if err != nil {
		return "", err
	}
	if err := s.checkBinding(fields[0]); err != nil {
		return "", err
	}
	if fields[1] != s.nonce {
		return "", errors.New("the nonce of the client-final message is not the conversation's")
	}
	auth := s.auth + "," + strings.TrimSuffix(clientFinal, ",p="+fields[2])
	if !s.proven(fields[2], auth) && !failpoint.On(failpoint.AuthAnyClient) {
		return "", ErrClientProof
	}
	s.next = done
	return "v=" + encoding.EncodeToString(sum(s.verifier.ServerKey, auth)), nil
}

// checkBinding compares the header and the binding that the client has used with ours.
func (s *Server) checkBinding(text string) error {
	got, err := encoding.DecodeString(text)
	if err != nil {
		return errors.New("the binding of the client-final message is not base64")
	}
	want := []byte(s.gs2)
	if strings.HasPrefix(s.gs2, "p=") {
		want = append(want, s.binding...)
	}
	if !bytes.Equal(got, want) && !failpoint.On(failpoint.AuthAnyBinding) {
		return errors.New("the client's channel binding is not that of this connection: the connection may be intercepted")
	}
	return nil
}

// proven reports whether the proof is of the verifier's password.
func (s *Server) proven(text, auth string) bool {
	covered, err := encoding.DecodeString(text)
	if err != nil || len(covered) != sha256.Size {
		return false
	}
	key := sum(s.verifier.StoredKey, auth)
	subtle.XORBytes(key, key, covered)
	return subtle.ConstantTimeCompare(hashOf(key), s.verifier.StoredKey) == 1
}
