// Package pace bounds how often something happens.
package pace

import "time"

// A Pace lets something happen once in each interval, and as often at once as it did
// not happen in the time of a burst. The zero value is usable. It isn't safe for
// concurrent use.
type Pace struct{ next time.Time }

// Take reports whether it may happen now.
func (p *Pace) Take(now time.Time, interval, burst time.Duration) bool {
	if earliest := now.Add(-burst); p.next.Before(earliest) {
		p.next = earliest
	}
	if p.next.After(now) {
		return false
	}
	p.next = p.next.Add(interval)
	return true
}
