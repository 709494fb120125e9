package visible_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

func TestWriter(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a line\n\tand another, größer, 漢字\n", "a line\n\tand another, größer, 漢字\n"},
		{"\x1b[2J\x1b]0;title\a", `\u001b[2J\u001b]0;title\u0007`},
		{"\r\b\x00\x7f", `\u000d\u0008\u0000\u007f`},
		{"\u009b31m", `\u009b31m`},
		{"\x9b31m\xff", `\x9b31m\xff`},
		{"\u202egnp\u2028\U000e0001", `\u202egnp\u2028\U000e0001`},
	} {
		for name, pieces := range map[string]func(w *visible.Writer){
			"at once": func(w *visible.Writer) { w.Write([]byte(tt.text)) },
			"byte by byte": func(w *visible.Writer) {
				for _, b := range []byte(tt.text) {
					w.Write([]byte{b})
				}
			},
		} {
			var out bytes.Buffer
			if pieces(visible.NewWriter(&out)); out.String() != tt.want {
				t.Errorf("%s: %q is written as %q, want %q", name, tt.text, &out, tt.want)
			}
		}
	}
}

func TestText(t *testing.T) {
	if got := visible.Text("a\nb\x1b\xc2"); got != "a\nb"+`\u001b\xc2` {
		t.Errorf("%q", got)
	}
}

// The output of NewJSONWriter means the same as its input, and has no control character.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{"", "plain", "\u0080\u009b31m\x7f\u0099", "\u00a0\u00c2\xc2", "é\x1b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out bytes.Buffer
		if err := json.NewEncoder(visible.NewJSONWriter(&out)).Encode(text); err != nil {
			t.Fatal(err)
		}
		var got, want string
		plain, _ := json.Marshal(text)
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
			t.Errorf("%q became %q: %v", want, got, err)
		}
		for s := bytes.TrimSuffix(out.Bytes(), []byte("\n")); len(s) > 0; {
			r, n := utf8.DecodeRune(s)
			if unicode.IsControl(r) {
				t.Errorf("%q shows %q", &out, r)
			}
			s = s[n:]
		}
	})
}
