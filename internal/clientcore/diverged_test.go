package clientcore

import (
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// If a server reports each new life as diverged, the store gives up at most one life a minute,
// together with the messages that it keeps of that life.
func TestDivergedOnceAMinute(t *testing.T) {
	r := newRig(t)
	diverged := &DivergedError{Publisher: 7, From: 2}
	refused := func() (gaveUp string, renewed bool) {
		t.Helper()
		r.s.Connect("a", "a", r.store.Lives())
		r.s.Logon("name", "json", "1", 1, nil)
		e := r.s.Ended(diverged, r.now, r.store.Lives())
		return e.GiveUp, e.Renew
	}
	r.publish(2)
	first := r.store.Lives()[0].ID
	if life, renewed := refused(); life != first || !renewed {
		t.Fatalf("gave up %q, renewed %v", life, renewed)
	}
	if err := r.store.Renew(); err != nil {
		t.Fatal(err)
	}
	var reported []uint64
	err := (&EndEffect{GiveUp: first}).Apply(r.store, func(r *Rejection, m *pubstore.Message) {
		if r.Reason != wire.ReasonOutcomeUnknown || m.Sequence != r.Sequence {
			t.Errorf("reported %+v", r)
		}
		reported = append(reported, m.Sequence)
	})
	if err != nil || !slices.Equal(reported, []uint64{1, 2}) {
		t.Errorf("reported %v: %v", reported, err)
	}
	// The messages are still kept, as after a crash of the process. So the life is offered and
	// given up again.
	if life, renewed := refused(); life != first || renewed {
		t.Errorf("former life: gave up %q, renewed %v", life, renewed)
	}
	for _, n := range reported {
		if err := (&Rejection{Life: first, Sequence: n}).LetGo(r.store); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(1)
	if life, renewed := refused(); life != "" || renewed {
		t.Errorf("within a minute: gave up %q, renewed %v", life, renewed)
	}
	r.now = r.now.Add(minRenewInterval)
	if life, renewed := refused(); life == "" || !renewed {
		t.Errorf("after a minute: gave up %q, renewed %v", life, renewed)
	}
	if !errors.Is(refusalError("logon", &wire.Message{Reason: text(wire.ReasonPublisherDiverged), Bookmark: text("7|2|")}), ErrDiverged) {
		t.Error("the reason is not recognized")
	}
}
