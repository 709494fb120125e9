package pubstore

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

const (
	defaultMaxMessage = 16 << 20

	// MaxHeader is the limit for Message.HeaderSize. The wire allows twice as much for a whole
	// header. The rest is for the other fields of a publish, and for the fields that a server
	// adds on delivery. A message with a longer header could never be sent and would block all
	// messages after it.
	MaxHeader = 32 << 10
)

// limitSetting is the Setting of a TooLargeError that a store returns.
const limitSetting = "MaxMessage or MaxBytes of the publish store"

// A TooLargeError means that the store, or the server, never accepts a message of this size. The
// message was not stored.
type TooLargeError struct {
	// Size is the size of the message and Max the limit, both in bytes. If a store returns the
	// error, or Header is true, Size is Message.Size or Message.HeaderSize. For the limit of a
	// server Size is that of the whole frame, with an upper bound for its header.
	Size, Max int
	// Header is true if the limit is MaxHeader, the one for topic, key, correlation id and headers
	// together.
	Header bool
	// Setting names the setting with the limit, for people. It is empty if Header is true, since
	// MaxHeader cannot be set.
	Setting string
}

func (e *TooLargeError) Error() string {
	subject := "message"
	if e.Header {
		subject = "header of a message"
	}
	s := fmt.Sprintf("%s of %d bytes is above the limit of %d", subject, e.Size, e.Max)
	if e.Setting != "" {
		s += " (" + e.Setting + ")"
	}
	return s
}

// checkMessage returns an error if a store with a limit of maxSize bytes for one message cannot
// take m: a *TooLargeError, or an error that names the invalid field.
func checkMessage(m *Message, maxSize int) error {
	switch {
	case strings.ContainsFunc(m.SOWKey, notBase64):
		return fmt.Errorf("publish store: SOWKey is %q: it must consist of base-64 characters", m.SOWKey)
	case m.Headers.err != nil:
		return fmt.Errorf("publish store: %w", m.Headers.err)
	case m.Expiration < 0 || m.Expiration%time.Second != 0:
		return fmt.Errorf("publish store: Expiration is %v: it must be a whole number of seconds, or 0", m.Expiration)
	case m.HeaderSize() > MaxHeader:
		return &TooLargeError{Size: m.HeaderSize(), Max: MaxHeader, Header: true}
	case m.Size() > maxSize:
		return &TooLargeError{Size: m.Size(), Max: maxSize, Setting: limitSetting}
	}
	return nil
}

func notBase64(r rune) bool {
	switch {
	case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '+', r == '/', r == '=':
		return false
	}
	return true
}

// checkLimits returns an error that names the first negative field.
func checkLimits(messages int, bytes int64, message int) error {
	return cmp.Or(checkNotNegative("MaxMessages", messages), checkNotNegative("MaxBytes", bytes), checkNotNegative("MaxMessage", message))
}

func checkNotNegative[T int | int64 | time.Duration](field string, value T) error {
	if value < 0 {
		return fmt.Errorf("publish store: %s is %v: it must not be negative", field, value)
	}
	return nil
}
