package client

import (
	"sync"
	"time"
)

// clientStats holds the client's part of Stats. Only the session goroutine changes it.
type clientStats struct {
	mu     sync.Mutex
	stats  Stats           // the client's part only; guarded by mu
	trying string          // server of the attempt under way, without a password; guarded by mu
	errs   []*ConnectError // last error of each server; guarded by mu
	moves  moveTracker     // guarded by mu
	since  time.Time       // the client entered its state; guarded by mu
}

func newClientStats() clientStats {
	return clientStats{stats: Stats{Failures: make(map[string]int), MoveReasons: make(map[string]int)}, since: time.Now()}
}

// change calls f with the statistics.
func (cs *clientStats) change(f func(s *Stats)) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	f(&cs.stats)
}

// setState enters a state. changed is true if the state is new, or another attempt begins.
func (cs *clientStats) setState(s State) (changed bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	changed = cs.stats.State != s || s == StateConnecting
	now := time.Now()
	cs.stats.Offline = cs.offline(now)
	cs.stats.State, cs.since = s, now
	return changed
}

// offline returns Stats.Offline at a time. The caller holds mu.
func (cs *clientStats) offline(now time.Time) time.Duration {
	switch cs.stats.State {
	case StateConnecting, StateWaiting:
		return cs.stats.Offline + now.Sub(cs.since)
	}
	return cs.stats.Offline
}

// setAttempt sets the server of the attempt under way; empty: there is none.
func (cs *clientStats) setAttempt(server string) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.trying = server
	if server != "" {
		cs.stats.Attempts++
	}
}

// loggedOn records an accepted logon. first reports whether it is the client's first one. If the
// client has moved, moved is true and m is the move.
func (cs *clientStats) loggedOn(info ServerInfo) (first bool, m Move, moved bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	s := &cs.stats
	s.Logons++
	s.Server = info
	if m, moved = cs.moves.loggedOn(info.Server, time.Now()); moved {
		s.MoveReasons[m.Reason()]++
		s.Moves = append(s.Moves[max(0, len(s.Moves)+1-maxMoves):], m)
	}
	return s.Logons == 1, m, moved
}

// attemptEnded records the end of a connection or of an attempt to make one. failed is false for a
// move to a preferred server.
func (cs *clientStats) attemptEnded(e *ConnectError, failed bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.moves.attemptEnded(e)
	if failed {
		cs.stats.LastFailure = e
		cs.stats.Failures[e.Server]++
		cs.errs = replaceLast(cs.errs, e)
	}
}

// attemptErrors returns the last error of each server, including the attempt under way.
func (cs *clientStats) attemptErrors() (errs []error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, e := range cs.errs {
		errs = append(errs, e)
	}
	if cs.trying != "" {
		errs = append(errs, &ConnectError{Server: cs.trying, Err: errNoAnswerYet})
	}
	return errs
}
