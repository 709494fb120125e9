package client

import (
	"sync"
	"time"
)

// A record holds the client's part of Stats. Only the session goroutine changes it.
type record struct {
	mu     sync.Mutex
	stats  Stats           // the client's part only; guarded by mu
	trying string          // server of the attempt under way, without a password; guarded by mu
	errs   []*ConnectError // last error of each server; guarded by mu
	trail  trail           // guarded by mu
}

func newRecord() record { return record{stats: Stats{Failures: make(map[string]int)}} }

// change calls f with the statistics.
func (r *record) change(f func(s *Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// tries notes that an attempt at a server begins. An empty server means that the attempt has ended.
func (r *record) tries(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trying = server
	if server != "" {
		r.stats.Attempts++
	}
}

// connected notes the server that the client stays on. first reports whether it is the first one.
// If the client has moved, moved is true and m is the move.
func (r *record) connected(info ServerInfo) (first bool, m Move, moved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.stats
	s.Connects++
	s.Server = info
	if m, moved = r.trail.arrive(info.Server, time.Now()); moved {
		s.Moves = append(s.Moves[max(0, len(s.Moves)+1-maxMoves):], m)
	}
	return s.Connects == 1, m, moved
}

// left notes the end of a connection or of an attempt to make one. failed is false for a move to a
// better server.
func (r *record) left(e *ConnectError, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trail.leave(e)
	if failed {
		r.stats.LastFailure = e
		r.stats.Failures[e.Server]++
		r.errs = withLast(r.errs, e)
	}
}

// failedSoFar returns the last error of each server, including the attempt under way.
func (r *record) failedSoFar() (errs []error) {
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
