package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
)

// Limits on the headers of a message. They are part of the format: longer headers are malformed.
const (
	MaxHeaders     = 4 << 10 // encoded bytes: key and value, and 3 bytes for each header
	MaxHeaderCount = 32
	MaxHeaderKey   = 64 // bytes of a key
)

// AppendHeader appends a header to encoded headers. The key has 1 to MaxHeaderKey bytes, and the
// value at most MaxHeaders.
func AppendHeader[K, V string | []byte](dst []byte, key K, value V) []byte {
	dst = append(append(dst, byte(len(key))), key...)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// cutHeader cuts the first header off encoded headers. ok is false if they are malformed.
func cutHeader(encoded []byte) (key, value, rest []byte, ok bool) {
	f := FieldReader{Rest: encoded}
	key = f.Bytes(uint64(f.Byte()))
	value = f.Bytes(uint64(f.Uint16()))
	return key, value, f.Rest, !f.Bad && len(key) > 0
}

// Headers returns the keys and values of encoded headers, in order. They share the memory of
// encoded. Malformed headers end the sequence.
func Headers(encoded []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for len(encoded) > 0 {
			key, value, rest, ok := cutHeader(encoded)
			if !ok || !yield(key, value) {
				return
			}
			encoded = rest
		}
	}
}

// Header returns the value of the header with a key. ok is false if there is none.
func Header(encoded []byte, key string) (value []byte, ok bool) {
	for len(encoded) > 0 {
		k, v, rest, whole := cutHeader(encoded)
		if !whole {
			break
		}
		if string(k) == key {
			return v, true
		}
		encoded = rest
	}
	return nil, false
}

// ValidHeaderKey reports whether a header may have the key: 1 to MaxHeaderKey characters of visible
// ASCII.
func ValidHeaderKey[T string | []byte](key T) bool {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return len(key) > 0 && len(key) <= MaxHeaderKey
}

// CheckHeaders returns an error if encoded is not a list of headers within the limits. A key may
// occur once.
func CheckHeaders(encoded []byte) error {
	if len(encoded) == 0 {
		return nil // nearly always
	}
	return checkHeaders(encoded)
}

func checkHeaders(encoded []byte) error {
	if len(encoded) > MaxHeaders {
		return fmt.Errorf("headers of %d bytes, at most %d are allowed", len(encoded), MaxHeaders)
	}
	var keys [MaxHeaderCount][]byte
	for n := 0; len(encoded) > 0; n++ {
		key, _, rest, ok := cutHeader(encoded)
		switch {
		case n == MaxHeaderCount:
			return fmt.Errorf("more than %d headers", MaxHeaderCount)
		case !ok || !ValidHeaderKey(key):
			return fmt.Errorf("header %d has no valid key or is truncated", n+1)
		}
		for _, earlier := range keys[:n] {
			if bytes.Equal(earlier, key) {
				return fmt.Errorf("two headers with the key %q", key)
			}
		}
		keys[n], encoded = key, rest
	}
	return nil
}

// HasHeaders reports whether the bytes of a record contain headers. raw must have been read with
// Parse or AsOrdinary.
func HasHeaders(raw []byte) bool {
	n := HeaderLen(raw)
	return n < len(raw) && raw[n]&hasHeaders != 0
}
