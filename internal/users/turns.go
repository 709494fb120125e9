package users

import (
	"context"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// turns let one costly computation of each source at a time wait for a slot. So somebody who tries
// many passwords at once makes other sources wait for one computation, not for all of them. They are
// safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	sources map[string]*turn // guarded by mu
}

// A turn is held by one of the attempts of a source.
type turn struct {
	token    chan struct{}
	attempts int // that hold it or wait for it; guarded by the mu of turns
}

// sourceTurns are those of the process.
var sourceTurns = turns{sources: make(map[string]*turn)}

// take waits for the turn of a source until ctx ends.
func (t *turns) take(ctx context.Context, source string) (release func(), err error) {
	if failpoint.On(failpoint.UsersNoTurns) {
		return func() {}, nil
	}
	of := t.join(source)
	select {
	case of.token <- struct{}{}:
		return func() {
			<-of.token
			t.leave(source, of)
		}, nil
	case <-ctx.Done():
		t.leave(source, of)
		return nil, context.Cause(ctx)
	}
}

func (t *turns) join(source string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.sources[source]
	if of == nil {
		of = &turn{token: make(chan struct{}, 1)}
		t.sources[source] = of
	}
	of.attempts++
	return of
}

func (t *turns) leave(source string, of *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of.attempts--; of.attempts == 0 {
		delete(t.sources, source)
	}
}
