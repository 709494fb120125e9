package main

import (
	"strings"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// parseHeaders returns the headers of --header flags, each KEY=VALUE.
func parseHeaders(flags []string) (h pubstore.Headers, err error) {
	for _, f := range flags {
		key, value, found := strings.Cut(f, "=")
		if _, twice := h.Lookup(key); !found || twice {
			return h, usageErrorf("--header %q is not KEY=VALUE with a new key", f)
		}
		h.Set(key, value)
	}
	if err := h.Err(); err != nil {
		return h, usageErrorf("--header: %w", err)
	}
	return h, nil
}

// jsonHeaders are the headers of a message in the form that --json prints.
type jsonHeaders struct {
	Text  map[string]string `json:"headers,omitempty"`
	Bytes map[string][]byte `json:"headers_base64,omitempty"` // of these, the values that are not UTF-8
}

func newJSONHeaders(h pubstore.Headers) (j jsonHeaders) {
	for k, v := range h.All() {
		if utf8.Valid(v) {
			put(&j.Text, k, string(v))
		} else {
			put(&j.Bytes, k, v)
		}
	}
	return j
}

// put sets an entry of a map, which it makes if it is nil.
func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[key] = value
}

// jsonCorrelation is a correlation id in the form that --json prints. At most one of the fields is
// not empty.
type jsonCorrelation struct {
	Text  string `json:"correlation_id,omitempty"`
	Bytes []byte `json:"correlation_id_base64,omitempty"` // if it is not UTF-8
}

func newJSONCorrelation(id string) jsonCorrelation {
	if utf8.ValidString(id) {
		return jsonCorrelation{Text: id}
	}
	return jsonCorrelation{Bytes: []byte(id)}
}
