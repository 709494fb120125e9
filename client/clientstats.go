package client

import (
	"sync"
	"time"
)

// A clientStats holds the client's part of Stats. Only the session goroutine changes it.
type clientStats struct {
	mu     sync.Mutex
	stats  Stats           // the client's part only; guarded by mu
	trying string          // server of the attempt under way, without a password; guarded by mu
	errs   []*ConnectError // last error of each server; guarded by mu
	moves  moveTracker     // guarded by mu
}

func newClientStats() clientStats { return clientStats{stats: Stats{Failures: make(map[string]int)}} }

// change calls f with the statistics.
func (r *clientStats) change(f func(s *Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// attemptBegan notes that an attempt at a server begins. An empty server means that the attempt has ended.
func (r *clientStats) attemptBegan(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trying = server
	if server != "" {
		r.stats.Attempts++
	}
}

// loggedOn notes the server that the client stays on. first reports whether it is the first one.
// If the client has moved, moved is true and m is the move.
func (r *clientStats) loggedOn(info ServerInfo) (first bool, m Move, moved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.stats
	s.Logons++
	s.Server = info
	if m, moved = r.moves.loggedOn(info.Server, time.Now()); moved {
		s.Moves = append(s.Moves[max(0, len(s.Moves)+1-maxMoves):], m)
	}
	return s.Logons == 1, m, moved
}

// attemptEnded notes the end of a connection or of an attempt to make one. failed is false for a move to a
// better server.
func (r *clientStats) attemptEnded(e *ConnectError, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moves.attemptEnded(e)
	if failed {
		r.stats.LastFailure = e
		r.stats.Failures[e.Server]++
		r.errs = replaceLast(r.errs, e)
	}
}

// attemptErrors returns the last error of each server, including the attempt under way.
func (r *clientStats) attemptErrors() (errs []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.errs {
		errs = append(errs, e)
	}
	if r.trying != "" {
		errs = append(errs, &ConnectError{Server: r.trying, Err: errNoAnswerYet})
	}
	return errs
}
