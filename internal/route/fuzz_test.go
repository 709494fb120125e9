package route_test

import (
	"errors"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// FuzzOptions parses the options of a subscribe.
func FuzzOptions(f *testing.F) {
	for _, text := range []string{
		"replace,", "bookmark,timestamp", "vector,bookmark_not_found=fail", " non_regex_topic , none", "conflation=none", "rate=10",
		"projection=[SUM(/a) AS /b,/c]", "bookmark_not_found=", "magic", "[[[", "=,=,",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		heap.Bounded(t, len(text), 16, 4<<10, func() {
			o, err := route.ParseOptions(text)
			if err == nil {
				again, err := route.ParseOptions([]byte(string(text) + ",none"))
				if err != nil || again != o {
					t.Errorf("%q gives %+v, with none after it %+v, %v", text, o, again, err)
				}
				return
			}
			if _, unsupported := errors.AsType[*route.UnsupportedError](err); !unsupported && !errors.Is(err, route.ErrInvalidOptions) {
				t.Errorf("%q: %v", text, err)
			}
			if o != (route.Options{}) {
				t.Errorf("%q is refused but gives %+v", text, o)
			}
		})
	})
}
