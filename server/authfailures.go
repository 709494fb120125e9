package server

import (
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Bounds of the delays of refused logons.
const (
	firstDelay     = 100 * time.Millisecond // after the first failures of an address
	longestDelay   = 2 * time.Second
	freeFailures   = 3               // failures without more than firstDelay
	forgetFailures = 5 * time.Minute // after the last failure
	maxFailing     = 4096            // addresses that are remembered
	maxAttempts    = 32              // logons at once from an address with failures
)

// authFailures count the failed logons of each address, to delay the answers to further ones and to
// bound those at once. They are safe for concurrent use.
type authFailures struct {
	mu       sync.Mutex
	sources  map[string]*failures // guarded by mu, like attempts
	attempts map[string]int       // logons of each address that have not been answered
}

type failures struct {
	count int
	last  time.Time
}

// begin counts a logon of an address that has begun. It returns false if the address has failed often
// and has too many logons: with these it could try more passwords than the delays allow. The caller
// must call end if it returns true.
func (f *authFailures) begin(source string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.sources[source]
	suspect := of != nil && of.count >= freeFailures && now.Sub(of.last) <= forgetFailures
	if suspect && f.attempts[source] >= maxAttempts && !failpoint.On(failpoint.AuthAnyAttempts) {
		return false
	}
	if f.attempts == nil {
		f.attempts = make(map[string]int)
	}
	f.attempts[source]++
	return true
}

// end counts a logon that was answered.
func (f *authFailures) end(source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attempts[source]--; f.attempts[source] == 0 {
		delete(f.attempts, source)
	}
}

// delay counts a failure of an address, and returns how long its answer must wait.
func (f *authFailures) delay(source string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources == nil {
		f.sources = make(map[string]*failures)
	}
	of := f.sources[source]
	if of == nil || now.Sub(of.last) > forgetFailures {
		if len(f.sources) >= maxFailing {
			clear(f.sources) // rather than to search for the oldest under attack
		}
		of = &failures{}
		f.sources[source] = of
	}
	of.count, of.last = of.count+1, now
	delay := firstDelay
	for i := freeFailures; i < of.count && delay < longestDelay; i++ {
		delay *= 2
	}
	if failpoint.On(failpoint.AuthNoDelay) {
		return 0
	}
	return min(delay, longestDelay)
}
