// Package size reads and writes numbers of bytes as configuration files have them.
package size

import (
	"strconv"
	"strings"
)

// units are the units of sizes; a suffix of another one comes after it.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// Form names the form that Parse reads, for errors.
const Form = "size: write whole bytes or a unit, such as 1048576, 64MiB or 10GB"

// Format writes a number of bytes with the largest binary unit that divides it.
func Format(bytes int64) string {
	for _, u := range []int{3, 2, 1, 0} {
		if bytes != 0 && bytes%units[u].bytes == 0 {
			return strconv.FormatInt(bytes/units[u].bytes, 10) + units[u].suffix
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// Parse reads a number of bytes, with or without a unit. The number may be negative. ok is false if
// the text has another form, or if the number is out of [-2^62, 2^62].
func Parse(text string) (bytes int64, ok bool) {
	factor := int64(1)
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > (1<<62)/factor || n < -(1<<62)/factor {
		return 0, false
	}
	return n * factor, true
}
