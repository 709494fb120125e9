package pubstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestHeaders(t *testing.T) {
	var none pubstore.Headers
	if none.Len() != 0 || none.Size() != 0 || none.Get("k") != "" || none.Keys() != nil || none.Err() != nil {
		t.Errorf("no headers: %+v", none)
	}
	h := headers("tenant", "eu", "attempt", "1", "empty", "")
	before := h
	h.Set("attempt", "2, and more")
	h.Delete("tenant")
	h.Delete("not there")
	h.Set("tenant", "us")
	if got := fmt.Sprint(h.Keys(), h.Get("attempt"), h.Get("tenant"), h.Len()); got != "[attempt empty tenant]2, and moreus3" {
		t.Error(got)
	}
	if before.Get("attempt") != "1" || before.Get("tenant") != "eu" {
		t.Error("a change of a copy changes the original")
	}
	if v, ok := h.Lookup("empty"); !ok || len(v) != 0 {
		t.Errorf("an empty value: %q, %v", v, ok)
	}
	if _, ok := h.Lookup("Tenant"); ok {
		t.Error("keys are case-sensitive")
	}
	var all []string
	for k, v := range h.All() {
		all = append(all, k+"="+string(v))
	}
	if want := []string{"attempt=2, and more", "empty=", "tenant=us"}; !slices.Equal(all, want) {
		t.Errorf("%q, want %q", all, want)
	}
	again, err := pubstore.DecodeHeaders(h.Encoded())
	if err != nil || again.Get("tenant") != "us" || h.Clone().Get("tenant") != "us" {
		t.Errorf("%v, %v", again, err)
	}
	var bad *pubstore.HeadersError
	if _, err := pubstore.DecodeHeaders([]byte("x")); !errors.As(err, &bad) {
		t.Errorf("decoded: %v", err)
	}
	if h.Delete("attempt"); h.Len() != 2 {
		t.Error("an error remains")
	}
}

// A Set beyond a limit sets nothing. The first such error stays.
func TestHeadersLimits(t *testing.T) {
	long := strings.Repeat("x", pubstore.MaxHeadersSize)
	many := make([]string, 0, 2*pubstore.MaxHeaderCount+2)
	for n := range pubstore.MaxHeaderCount {
		many = append(many, fmt.Sprint("k", n), "v")
	}
	if err := headers(many...).Err(); err != nil {
		t.Errorf("as many as possible: %v", err)
	}
	for want, h := range map[string]pubstore.Headers{
		`headers: more than 32 of them`:                                                        headers(append(many, "more", "")...),
		`headers: 4097 bytes, at most 4096 are allowed`:                                        headers("k", long[:4000], "l", long[:89]),
		`header "k": a value of 4097 bytes, at most 4096 are allowed for all headers together`: headers("k", long+"x"),
		`headers: the key is empty or has a character that is not visible ASCII`:               headers("", "v"),
		`header "a\tb": the key is empty or has a character that is not visible ASCII`:         headers("a\tb", "v", "later", long+"x"),
		`header "` + strings.Repeat("k", 64) + `": a key of 65 bytes, at most 64 are allowed`:  headers(strings.Repeat("k", 65), "v"),
	} {
		var e *pubstore.HeadersError
		if err := h.Err(); !errors.As(err, &e) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if h.Size() > pubstore.MaxHeadersSize || h.Len() > pubstore.MaxHeaderCount {
			t.Errorf("%s: it is set all the same", want)
		}
		if _, err := pubstore.NewMemory(pubstore.MemoryOptions{}).Append(t.Context(), &pubstore.Message{Topic: "t", Headers: h}); !errors.As(err, &e) {
			t.Errorf("%s: Append: %v", want, err)
		}
	}
}

func TestHeadersAllocations(t *testing.T) {
	h := headers("tenant", "eu", "attempt", "1")
	for name, f := range map[string]func(){
		"Lookup": func() { h.Lookup("attempt") },
		"Len":    func() { h.Len() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c := h; c.Set("attempt", "2") }); n > 1 {
		t.Errorf("Set: %v allocations", n)
	}
}
