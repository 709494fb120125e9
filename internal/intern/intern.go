// Package intern makes strings of bytes, the same one for what was seen
// before, which then takes no memory.
package intern

const (
	maxTexts = 1024 // remembered; beyond it a Texts begins anew
	maxText  = 256  // bytes of one that is remembered
)

// Texts are those seen last. The zero value has seen none. It isn't safe for
// concurrent use.
type Texts struct{ known map[string]string }

// Of returns the bytes as a string.
func (t *Texts) Of(b []byte) string {
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
