package topic_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/topic"
)

func TestWildcard(t *testing.T) {
	for text, want := range map[string]string{
		"orders.>": `^orders\.`, "orders.*": `^orders\.[^.]+$`, "orders.*.eu-1": `^orders\.[^.]+\.eu-1$`, "*.eu": `^[^.]+\.eu$`,
		"orders/#": `^orders/`, "orders/+/eu": `^orders/[^/]+/eu$`,
		"orders": "", "orders.eu": "", "^orders": "", ".*": "", "/orders/.*": "", "orders.*x": "", "a.>.b": "", "orders.[0-9]+": "", "": "", "*": "", "#": "",
	} {
		meant, ok := topic.Wildcard(text)
		if ok != (want != "") || ok && meant != want {
			t.Errorf("%q: %q, %v, want %q", text, meant, ok, want)
		}
		if _, err := topic.Parse(meant); ok && err != nil {
			t.Error(err)
		}
	}
}
