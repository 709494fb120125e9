// Package intern converts bytes to strings. For bytes that it has seen before it returns
// the same string, which takes no new memory.
package intern

const (
	maxTexts = 1024 // strings in a Table; a full Table is cleared
	maxText  = 256  // bytes of the longest string in a Table
)

// A Table holds strings that it has returned. The zero value is empty. It is not safe for
// concurrent use.
type Table struct{ known map[string]string }

// String returns the bytes as a string.
func (t *Table) String(b []byte) string {
	if s, ok := t.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) == 0 || len(s) > maxText {
		return s
	}
	if t.known == nil || len(t.known) >= maxTexts {
		t.known = make(map[string]string)
	}
	t.known[s] = s
	return s
}
