package scram

import (
	"crypto/hmac"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// ErrServerProof says that the server has not proven that it has the verifier of the
// password: it is not the server it claims to be.
var ErrServerProof = errors.New("the server has not proven that it knows the password")

// A Client is the client's side of one conversation: First, Final and Verify, once each
// and in this order.
type Client struct {
	user, password string
	gs2            string // the header: channel binding flag, no authzid
	binding        []byte
	nonce          string
	next           step
	signature      []byte // of the server, as it has to be
}

// A step is the call that a conversation expects next.
type step int

const (
	first step = iota
	final
	verify
	done
	failed
)

// NewClient begins a conversation. binding is the tls-exporter value of the connection; it
// selects MechanismPlus. Without binding the mechanism is Mechanism, and the flag says that
// this client does not support channel binding on the connection: it never says that the
// server appears not to, since it does not choose by what a server offers. So nobody can
// talk it out of the binding.
func NewClient(user, password string, binding []byte) *Client {
	c := &Client{user: user, password: password, gs2: "n,,", binding: binding, nonce: newNonce()}
	if len(binding) > 0 {
		c.gs2 = "p=" + bindingName + ",,"
	}
	return c
}

// Mechanism returns the name of the conversation's mechanism.
func (c *Client) Mechanism() string {
	if len(c.binding) > 0 {
		return MechanismPlus
	}
	return Mechanism
}

// First returns client-first.
func (c *Client) First() string {
	c.next = final
	return c.gs2 + c.firstBare()
}

func (c *Client) firstBare() string { return "n=" + userEscaper.Replace(c.user) + ",r=" + c.nonce }

// Initial returns the name of the mechanism, a space and client-first.
func (c *Client) Initial() string { return c.Mechanism() + " " + c.First() }

// Final returns the answer to server-first, client-final. It computes the iterations that
// the server asks for, if they are in [MinIterations, MaxIterations].
func (c *Client) Final(serverFirst string) (clientFinal string, err error) {
	if c.next != final {
		return "", errors.New("the SCRAM conversation is not at server-first")
	}
	c.next = failed
	if err := errors.Join(CheckText("user", c.user), CheckText("password", c.password), checkMessage("server-first", serverFirst)); err != nil {
		return "", err
	}
	nonce, salt, iterations, err := c.parseFirst(serverFirst)
	if err != nil {
		return "", err
	}
	salted, err := saltedPassword(c.password, salt, iterations)
	if err != nil {
		return "", err
	}
	withoutProof := "c=" + encoding.EncodeToString(append([]byte(c.gs2), c.binding...)) + ",r=" + nonce
	auth := c.firstBare() + "," + serverFirst + "," + withoutProof
	c.signature = sum(serverKey(salted), auth)
	c.next = verify
	return withoutProof + ",p=" + encoding.EncodeToString(proof(clientKey(salted), auth)), nil
}

// parseFirst reads server-first.
func (c *Client) parseFirst(text string) (nonce string, salt []byte, iterations int, err error) {
	fields, err := attributes("server-first", text, "r", "s", "i")
	if err != nil {
		return "", nil, 0, err
	}
	nonce = fields[0]
	own, isOurs := strings.CutPrefix(nonce, c.nonce)
	switch {
	case !isOurs || own == "":
		return "", nil, 0, errors.New("the nonce of the server-first message does not continue the client's")
	case len(own) > maxNonce:
		return "", nil, 0, fmt.Errorf("the server's nonce has %d bytes, more than the maximum %d", len(own), maxNonce)
	}
	if salt, err = encoding.DecodeString(fields[1]); err != nil {
		return "", nil, 0, errors.New("the salt of the server-first message is not base64")
	}
	iterations, err = parseIterations(fields[2])
	if err != nil {
		return "", nil, 0, fmt.Errorf("server-first message: %w", err)
	}
	return nonce, salt, iterations, nil
}

// Verify checks server-final. It returns an error that is ErrServerProof if the server's
// signature is wrong, and another one if the server refuses the client or the message is
// malformed.
func (c *Client) Verify(serverFinal string) error {
	if c.next != verify {
		return errors.New("the SCRAM conversation is not at server-final")
	}
	c.next = failed
	if err := checkMessage("server-final", serverFinal); err != nil {
		return err
	}
	if reason, is := strings.CutPrefix(serverFinal, "e="); is {
		return fmt.Errorf("the server refuses the proof: %.64q", reason)
	}
	fields, err := attributes("server-final", serverFinal, "v")
	if err != nil {
		return err
	}
	signature, err := encoding.DecodeString(fields[0])
	if err != nil || !hmac.Equal(signature, c.signature) && !failpoint.On(failpoint.AuthAnyServer) {
		return ErrServerProof
	}
	c.next = done
	return nil
}

// Proven reports whether Verify has accepted the server's signature.
func (c *Client) Proven() bool { return c.next == done }

// proof returns the client's key, covered by its signature of the conversation.
func proof(clientKey []byte, auth string) []byte {
	covered := sum(hashOf(clientKey), auth)
	subtle.XORBytes(covered, covered, clientKey)
	return covered
}
