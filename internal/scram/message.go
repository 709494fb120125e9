package scram

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// The names of the mechanisms.
const (
	Mechanism     = "SCRAM-SHA-256"
	MechanismPlus = "SCRAM-SHA-256-PLUS"
)

// Bounds of a message.
const (
	// MaxMessage is the longest accepted message, in bytes.
	MaxMessage = 4096
	// maxNonce is the longest accepted nonce of one side, in bytes.
	maxNonce = 256
	// nonceBytes is the number of random bytes of our part of the nonce.
	nonceBytes = 18
)

// bindingName is the channel binding of MechanismPlus.
const bindingName = "tls-exporter"

var encoding = base64.StdEncoding.Strict()

// CutInitial returns the client-first message of text, which is the name of a mechanism,
// a space and that message, and reports whether text is such a text. A mechanism that
// contradicts the message's channel binding flag is none.
func CutInitial(text string) (clientFirst string, is bool) {
	mechanism, clientFirst, found := strings.Cut(text, " ")
	switch {
	case !found:
		return "", false
	case mechanism == Mechanism:
		return clientFirst, strings.HasPrefix(clientFirst, "n,") || strings.HasPrefix(clientFirst, "y,")
	case mechanism == MechanismPlus:
		return clientFirst, strings.HasPrefix(clientFirst, "p=")
	}
	return "", false
}

// CheckText returns an error if a user or password is empty, is not UTF-8, or has a
// control character. what names the text in the error, which does not quote it.
func CheckText(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("the %s is empty", what)
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not UTF-8", what)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("the %s has a control character", what)
	case len(text) > MaxMessage/4:
		return fmt.Errorf("the %s has %d bytes, more than the maximum %d", what, len(text), MaxMessage/4)
	}
	return nil
}

// checkMessage refuses a message that is too long or is not a line of text.
func checkMessage(name, text string) error {
	switch {
	case len(text) > MaxMessage:
		return fmt.Errorf("the %s message has %d bytes, more than the maximum %d", name, len(text), MaxMessage)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("the %s message is not a line of UTF-8 text", name)
	}
	return nil
}

// attributes splits text into the values of exactly the given attributes, in their order.
func attributes(name, text string, keys ...string) ([]string, error) {
	// One more than wanted, so that an attribute too many shows.
	fields := strings.SplitN(text, ",", len(keys)+1)
	if len(fields) != len(keys) {
		return nil, fmt.Errorf("the %s message does not have exactly %d attributes", name, len(keys))
	}
	for i, key := range keys {
		value, found := strings.CutPrefix(fields[i], key+"=")
		if !found || value == "" {
			return nil, fmt.Errorf("attribute %d of the %s message is not %s, or is empty", i+1, name, key)
		}
		fields[i] = value
	}
	return fields, nil
}

func newNonce() string {
	var nonce [nonceBytes]byte
	rand.Read(nonce[:]) // never fails: see its documentation
	if failpoint.On(failpoint.AuthSameNonce) {
		clear(nonce[:])
	}
	return encoding.EncodeToString(nonce[:])
}

var userEscaper = strings.NewReplacer("=", "=3D", ",", "=2C")

// unescapeUser reads a user as client-first has it.
func unescapeUser(text string) (string, error) {
	var user strings.Builder
	for {
		before, after, found := strings.Cut(text, "=")
		user.WriteString(before)
		if !found {
			return user.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			user.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			user.WriteByte('=')
		default:
			return "", errors.New("the user of the client-first message has an = that is neither =2C nor =3D")
		}
		text = after[2:]
	}
}
