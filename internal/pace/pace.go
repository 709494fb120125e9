// Package pace limits how often an event may happen.
package pace

import "time"

// A Limiter allows an event once in each interval. Unused intervals are saved up, for a burst
// at most: then several events may happen at once. The zero value is usable. It is not safe
// for concurrent use.
type Limiter struct{ next time.Time }

// Allow reports whether the event may happen now, and counts it if so.
func (p *Limiter) Allow(now time.Time, interval, burst time.Duration) bool {
	if earliest := now.Add(-burst); p.next.Before(earliest) {
		p.next = earliest
	}
	if p.next.After(now) {
		return false
	}
	p.next = p.next.Add(interval)
	return true
}
