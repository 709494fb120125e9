package syncstatus_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

func TestStatus(t *testing.T) {
	seen := map[string]bool{}
	for s := syncstatus.Unknown; s <= syncstatus.Stopping; s++ {
		text, err := json.Marshal(s)
		if err != nil || seen[s.String()] {
			t.Fatalf("%s, %v: not a text of its own", text, err)
		}
		seen[s.String()] = true
		var got syncstatus.Status
		if err := json.Unmarshal(text, &got); err != nil || got != s {
			t.Errorf("%s is read as %v, %v", text, got, err)
		}
	}
	if got := syncstatus.Parse([]byte("a later word")); got != syncstatus.Unknown {
		t.Errorf("a later word is read as %v", got)
	}
	if got := syncstatus.Status(99).String(); got != "unknown" {
		t.Errorf("status 99 is %q", got)
	}
}
