package topic_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/topic"
)

func TestForeign(t *testing.T) {
	for text, want := range map[string]string{
		"orders.>": `^orders\.`, "orders.*": `^orders\.[^.]+$`, "orders.*.eu-1": `^orders\.[^.]+\.eu-1$`, "*.eu": `^[^.]+\.eu$`,
		"orders/#": `^orders/`, "orders/+/eu": `^orders/[^/]+/eu$`,
		"orders": "", "orders.eu": "", "^orders": "", ".*": "", "/orders/.*": "", "orders.*x": "", "a.>.b": "", "orders.[0-9]+": "", "": "", "*": "", "#": "",
	} {
		meant, foreign := topic.Wildcard(text)
		if foreign != (want != "") || foreign && meant != want {
			t.Errorf("%q: %q, %v, want %q", text, meant, foreign, want)
		}
		if _, err := topic.Parse(meant); foreign && err != nil {
			t.Error(err)
		}
	}
}
