package size_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/size"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "4KiB": 4096, "64MiB": 64 << 20, "10 GB": 1e10, "1TB": 1e12, "12B": 12, "-1": -1} {
		if got, ok := size.Parse(text); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "B", "1.5MiB", "1MiBi", "9000000TiB", "0x10", "1 2"} {
		if got, ok := size.Parse(text); ok {
			t.Errorf("%q: %d", text, got)
		}
	}
	for bytes, want := range map[int64]string{0: "0", 17: "17", 4096: "4KiB", 3 << 30: "3GiB", 1<<20 + 1: "1048577", 5 << 40: "5TiB"} {
		if got := size.Format(bytes); got != want {
			t.Errorf("%d is written as %q", bytes, got)
		}
	}
}
