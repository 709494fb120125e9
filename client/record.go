package client

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// A record holds the client's part of Stats. It changes on the session goroutine
// only.
type record struct {
	mu       sync.Mutex
	state    State                 // guarded by mu
	trying   string                // the server of the attempt under way, without a password; guarded by mu
	stats    Stats                 // guarded by mu; the counters only
	failures map[string]int        // by server; guarded by mu
	errs     []*ConnectError       // the last one of each server; guarded by mu
	infos    map[string]ServerInfo // of servers as at their logons, by URI; guarded by mu
	trail    trail                 // guarded by mu
	moves    []Move                // the last ones; guarded by mu
}

func newRecord() record {
	return record{failures: make(map[string]int), infos: make(map[string]ServerInfo)}
}

// enter enters a state. It reports whether the state is new, or another attempt.
func (r *record) enter(s State) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.state != s || s == Connecting
	r.state = s
	return news
}

func (r *record) dials(server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Attempts++
	r.trying = server
}

func (r *record) dialed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trying = ""
}

// accepted notes a logon that a server has accepted, by the URI as chosen. ways
// says that the bookmark subscriptions may go on there.
func (r *record) accepted(uri string, info ServerInfo, ways bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.infos[uri] = info
	if !ways {
		r.stats.AsyncRefusals++
	}
}

// connected notes the server that the client stays on, and reports whether it
// is the first.
func (r *record) connected(info ServerInfo) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Connects++
	r.stats.Server = info
	return r.stats.Connects == 1
}

func (r *record) stands(info ServerInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Server = info
}

func (r *record) failed(e *ConnectError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.LastFailure = e
	r.failures[e.Server]++
	for i := range r.errs {
		if r.errs[i].Server == e.Server {
			r.errs[i] = e
			return
		}
	}
	r.errs = append(r.errs, e)
}

// left notes the end of a connection, or of an attempt to make one.
func (r *record) left(e *ConnectError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trail.leave(e)
}

// arrived notes a logon, and returns the move if it is one.
func (r *record) arrived(server string) (m Move, moved bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, moved = r.trail.arrive(server, time.Now()); moved {
		if len(r.moves) == maxMoves {
			r.moves = append(r.moves[:0], r.moves[1:]...)
		}
		r.moves = append(r.moves, m)
	}
	return m, moved
}

// failedSoFar returns the last error of each server, and the attempt under way.
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

// servers returns the last reports of the servers, with the states in known.
func (r *record) servers(known clientcore.Known) map[string]ServerInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	infos := maps.Clone(r.infos)
	for uri, info := range infos {
		s := known[uri]
		info.stands(&s)
		infos[uri] = info
	}
	return infos
}

func (r *record) snapshot() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.State = r.state
	s.Failures = maps.Clone(r.failures)
	s.Moves = slices.Clone(r.moves)
	return s
}
