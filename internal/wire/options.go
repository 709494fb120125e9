package wire

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// Options splits an options string, "name,name=value,name=[a,b]", at the commas outside
// brackets. It yields each name with its value, without blanks around them. The value is nil
// for a name without "=". Options skips empty items, such as the one after a trailing comma.
func Options(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := text; len(rest) > 0; {
			n := itemEnd(rest)
			item := bytes.TrimSpace(rest[:n])
			rest = rest[min(n+1, len(rest)):]
			if len(item) == 0 {
				continue
			}
			name, value, found := bytes.Cut(item, []byte("="))
			value = bytes.TrimSpace(value)
			if found && value == nil {
				value = []byte{}
			}
			if !yield(bytes.TrimSpace(name), value) {
				return
			}
		}
	}
}

// itemEnd returns the offset of the first comma outside brackets, or len(text).
func itemEnd(text []byte) int {
	depth := 0
	for i, c := range text {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth = max(depth-1, 0)
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(text)
}

// units are the units of an interval.
var units = map[string]time.Duration{
	"": time.Second, "ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
	"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

var errInterval = errors.New("not a number with an optional unit (ns, us, ms, s, m, h, d, w)")

// ParseInterval parses an option value that is an interval, such as "100ms" or "2.5s". The
// default unit is the second.
func ParseInterval(text []byte) (time.Duration, error) {
	digits := bytes.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if digits < 0 {
		digits = len(text)
	}
	unit, ok := units[strings.ToLower(string(text[digits:]))]
	number, err := strconv.ParseFloat(string(text[:digits]), 64)
	if !ok || err != nil || number*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("interval %.64q: %w", text, errInterval)
	}
	return time.Duration(math.Round(number * float64(unit))), nil
}
