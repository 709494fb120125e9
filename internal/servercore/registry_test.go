package servercore_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
)

// A registry takes as many sessions as its limit allows, and one more when one has ended.
func TestRegistryIsBounded(t *testing.T) {
	inst := &servercore.Instance{Name: "a", Ledger: memledger.New(), Registry: servercore.NewRegistry(2)}
	n := 0
	add := func() (*servercore.Session, bool) {
		n++ // an address of its own, since the sessions of one address have another bound
		s := servercore.NewSession(inst, &client{}, slog.New(slog.DiscardHandler), time.Unix(0, 0))
		return s, inst.Registry.Add(s, fmt.Sprint(n))
	}
	first, ok := add()
	_, second := add()
	if _, third := add(); !ok || !second || third {
		t.Errorf("took the first: %v, the second: %v, the third: %v", ok, second, third)
	}
	inst.Registry.Remove(first)
	if _, ok := add(); !ok {
		t.Error("the place of an ended session is not free")
	}
}
