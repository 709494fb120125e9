package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Headers are base-64 in a frame. They may have any bytes, and none is the same as no key.
func TestHeaders(t *testing.T) {
	frame := (&wire.Delivery{Topic: []byte("t"), Headers: []byte("\x01k\x02\x00\xff\"")}).AppendTo(nil)
	if want := `{"c":"p","t":"t","headers":"AWsCAP8i"}`; string(frame[4:]) != want {
		t.Errorf("%s, want %s", frame[4:], want)
	}
	for text, want := range map[string]string{
		`{"headers":"AWsCAP8i","t":"\n"}`: "\x01k\x02\x00\xff\"", `{"t":"\n","headers":"AWsCAP8i"}`: "\x01k\x02\x00\xff\"",
		`{"headers":""}`: "", `{"headers":null}`: "", `{}`: "",
	} {
		m := parse(t, []byte(text))
		if string(m.Headers) != want || want == "" && m.Headers != nil || strings.Contains(text, "t") && len(m.Topic) > 0 && string(m.Topic) != "\n" {
			t.Errorf("%s is read as %q", text, m.Headers)
		}
	}
	for _, bad := range []string{`{"headers":"AWs"}`, `{"headers":"?"}`, `{"headers":7}`} {
		var e *wire.HeaderError
		if err := wire.Parse([]byte(bad), new(wire.Message)); !errors.As(err, &e) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestIsPlainToken(t *testing.T) {
	for token, want := range map[string]bool{
		"": true, "cmVxLTE=": true, "4bf92f35-77b3,a:b": true, "a b": false, `a"`: false, `a\`: false, "a\n": false, "\u00e9": false, "a\x7f": false,
	} {
		if got := wire.IsPlainToken([]byte(token)); got != want {
			t.Errorf("%q: %v", token, got)
		}
	}
}
