package journal

import "sync"

// laterCalls are calls that must wait until no lock and no token is held: the lines of the log,
// whose handler is not ours and may block.
type laterCalls struct {
	mu    sync.Mutex
	calls []func() // guarded by mu
}

func (l *laterCalls) add(call func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call)
}

// do makes the calls. The caller holds no lock.
func (l *laterCalls) do() {
	l.mu.Lock()
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, call := range calls {
		call()
	}
}
