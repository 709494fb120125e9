// Package pace limits how often an event may happen.
package pace

import "time"

// A Limiter allows an event once in each interval. It saves up unused intervals, up to a burst;
// then several events may happen at once. The zero value is usable. It is not safe for
// concurrent use.
type Limiter struct{ next time.Time } // next is the earliest time of the next event

// Allow reports whether the event may happen now, and counts it if so.
func (l *Limiter) Allow(now time.Time, interval, burst time.Duration) bool {
	if earliest := now.Add(-burst); l.next.Before(earliest) {
		l.next = earliest
	}
	if l.next.After(now) {
		return false
	}
	l.next = l.next.Add(interval)
	return true
}

// Spend counts an event that takes the given share of the time. It returns how long to wait before
// the next event, 0 if it may follow at once.
func (l *Limiter) Spend(now time.Time, share, burst time.Duration) (wait time.Duration) {
	if earliest := now.Add(-burst); l.next.Before(earliest) {
		l.next = earliest
	}
	l.next = l.next.Add(share)
	return max(l.next.Sub(now), 0)
}
