//go:build linux

package main

import (
	"fmt"
	"strings"
)

// minBody is the shortest body that has room for a number.
const minBody = 64

// body returns a JSON object of the given size that carries n.
func body(n uint64, size int) []byte {
	head := fmt.Sprintf(`{"id":%d,"text":"`, n)
	return []byte(head + strings.Repeat("x", size-len(head)-len(`"}`)) + `"}`)
}

// bodyNumber returns the number that a body carries.
func bodyNumber(body []byte) (n uint64, err error) {
	_, err = fmt.Sscanf(string(body[:min(len(body), minBody)]), `{"id":%d`, &n)
	return n, err
}
