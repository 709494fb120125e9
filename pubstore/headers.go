package pubstore

import (
	"fmt"
	"iter"

	"github.com/holdfast-mq/holdfast/internal/record"
)

// Limits on the headers of a message.
const (
	MaxHeaderCount = record.MaxHeaderCount // headers of a message
	MaxHeaderKey   = record.MaxHeaderKey   // bytes of a key
	// MaxHeadersSize is the limit for Headers.Size: the bytes of all keys and values, and 3 more for
	// each header.
	MaxHeadersSize = record.MaxHeaders
)

// Headers are the headers of a message: pairs of key and value that the application sets and that
// travel with the message. They keep the order in which they were set. A key occurs once, is 1 to
// MaxHeaderKey characters of visible ASCII, and is case-sensitive. A value may be any bytes.
//
// The zero value has no headers. A Headers is a value: Set on a copy does not change the original,
// so a publisher may prepare headers once and use them in many messages, also concurrently. It has
// the methods of a carrier of trace contexts (Get, Set, Keys).
type Headers struct {
	encoded []byte // see record.AppendHeader; never changed in place
	err     *HeadersError
}

// A HeadersError reports headers that no message may have. Publish returns it; the message is not
// stored.
type HeadersError struct {
	Key    string // of the header at fault; empty if all of them together exceed a limit
	Reason string
}

func (e *HeadersError) Error() string {
	if e.Key == "" {
		return "headers: " + e.Reason
	}
	return fmt.Sprintf("header %.64q: %s", e.Key, e.Reason)
}

// Set sets the value of a key, and keeps the place of a key that was set before. It takes one
// allocation. A header that no message may have, or that would be above a limit of all headers, is
// not set: then Err and each Publish of a message with these headers return a *HeadersError.
func (h *Headers) Set(key, value string) {
	if err := checkHeader(key, len(value)); err != nil {
		h.fail(err)
		return
	}
	longer := make([]byte, 0, len(h.encoded)+3+len(key)+len(value))
	count, found := 0, false
	for k, v := range record.Headers(h.encoded) {
		if string(k) == key {
			longer, found = record.AppendHeader(longer, key, value), true
		} else {
			longer = record.AppendHeader(longer, k, v)
		}
		count++
	}
	if !found {
		longer = record.AppendHeader(longer, key, value)
		count++
	}
	switch {
	case count > MaxHeaderCount:
		h.fail(&HeadersError{Reason: fmt.Sprintf("more than %d of them", MaxHeaderCount)})
	case len(longer) > MaxHeadersSize:
		h.fail(&HeadersError{Reason: fmt.Sprintf("%d bytes, at most %d are allowed", len(longer), MaxHeadersSize)})
	default:
		h.encoded = longer
	}
}

// checkHeader returns an error if no message may have the header.
func checkHeader(key string, value int) *HeadersError {
	switch {
	case len(key) > MaxHeaderKey:
		return &HeadersError{key, fmt.Sprintf("a key of %d bytes, at most %d are allowed", len(key), MaxHeaderKey)}
	case !record.ValidHeaderKey(key):
		return &HeadersError{key, "the key is empty or has a character that is not visible ASCII"}
	case value > MaxHeadersSize:
		return &HeadersError{key, fmt.Sprintf("a value of %d bytes, at most %d are allowed for all headers together", value, MaxHeadersSize)}
	}
	return nil
}

// fail keeps the first error.
func (h *Headers) fail(err *HeadersError) {
	if h.err == nil {
		h.err = err
	}
}

// Delete removes the header with a key, if there is one.
func (h *Headers) Delete(key string) {
	var rest []byte
	for k, v := range record.Headers(h.encoded) {
		if string(k) != key {
			rest = record.AppendHeader(rest, k, v)
		}
	}
	h.encoded = rest
}

// Err returns nil, or the *HeadersError of the first Set that failed.
func (h Headers) Err() error {
	if h.err == nil {
		return nil
	}
	return h.err
}

// Get returns the value of a key, empty if there is none. The string stays valid.
func (h Headers) Get(key string) string {
	value, _ := h.Lookup(key)
	return string(value)
}

// Lookup returns the value of a key. ok is false if there is none. value must not be changed, and
// is valid as long as the headers are: for those of a received message until the next turn. Lookup
// does not allocate.
func (h Headers) Lookup(key string) (value []byte, ok bool) { return record.Header(h.encoded, key) }

// Keys returns the keys in the order in which they were set.
func (h Headers) Keys() []string {
	var keys []string
	for k := range record.Headers(h.encoded) {
		keys = append(keys, string(k))
	}
	return keys
}

// All returns the keys and values in the order in which they were set. The values are valid as
// those of Lookup.
func (h Headers) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for k, v := range record.Headers(h.encoded) {
			if !yield(string(k), v) {
				return
			}
		}
	}
}

// Len returns the number of headers.
func (h Headers) Len() int {
	n := 0
	for range record.Headers(h.encoded) {
		n++
	}
	return n
}

// Size returns the number of bytes that the headers count towards MaxHeadersSize and
// Message.Size. It is 0 exactly if there are none.
func (h Headers) Size() int { return len(h.encoded) }

// Encoded returns the headers as bytes, for a Store that keeps them. They must not be changed.
func (h Headers) Encoded() []byte { return h.encoded }

// DecodeHeaders returns the headers that Encoded has returned as bytes. They share the memory of
// encoded. The error is a *HeadersError if encoded is malformed or above a limit.
func DecodeHeaders(encoded []byte) (Headers, error) {
	if err := record.CheckHeaders(encoded); err != nil {
		return Headers{}, &HeadersError{Reason: err.Error()}
	}
	return Headers{encoded: encoded}, nil
}

// Clone returns a copy that stays valid.
func (h Headers) Clone() Headers {
	h.encoded = append([]byte(nil), h.encoded...)
	return h
}
