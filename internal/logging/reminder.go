package logging

import "time"

// RemindEvery is the interval at which a line repeats that a state lasts which needs attention.
const RemindEvery = time.Hour

// firstReminders are the times after the beginning of an outage at which the first reminders are
// due. RemindEvery is the interval of the later ones.
var firstReminders = []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}

// A Reminder tells when a line is due that says that a state lasts. Times count from any fixed
// point. The zero value is a state that does not last.
type Reminder struct {
	lasts bool
	since time.Duration
	next  time.Duration
	told  int  // number of reminders so far
	rare  bool // no early reminders, see Begin
}

// BeginOutage begins a state that is expected to end soon by itself. Its reminders come after 10 s,
// 1 m, 10 m and 1 h, and then every RemindEvery. Nothing changes if the state lasts already.
func (r *Reminder) BeginOutage(now time.Duration) {
	if !r.lasts {
		*r = Reminder{lasts: true, since: now, next: now + firstReminders[0]}
	}
}

// Begin begins a state whose reminders come every RemindEvery. Nothing changes if the state lasts
// already.
func (r *Reminder) Begin(now time.Duration) {
	if !r.lasts {
		*r = Reminder{lasts: true, since: now, next: now + RemindEvery, rare: true}
	}
}

// End ends the state. It returns how long the state has lasted, 0 if it did not last.
func (r *Reminder) End(now time.Duration) (lasted time.Duration) {
	if r.lasts {
		lasted = now - r.since
	}
	*r = Reminder{}
	return lasted
}

// Lasts reports whether the state lasts.
func (r *Reminder) Lasts() bool { return r.lasts }

// Since returns how long the state has lasted.
func (r *Reminder) Since(now time.Duration) time.Duration { return now - r.since }

// Due returns when the next reminder is due. ok is false if the state does not last.
func (r *Reminder) Due() (at time.Duration, ok bool) { return r.next, r.lasts }

// Remind reports whether a reminder is due, and counts it.
func (r *Reminder) Remind(now time.Duration) bool {
	if !r.lasts || now < r.next {
		return false
	}
	r.told++
	if !r.rare && r.told < len(firstReminders) {
		r.next = r.since + firstReminders[r.told]
	}
	if r.next <= now {
		r.next = now + RemindEvery
	}
	return true
}

// An Outage counts the failures of something that is tried again and again, and tells which of them
// have a line: the first one, and the reminders of BeginOutage. The zero value is no outage.
type Outage struct {
	Reminder
	attempts int
}

// Fail counts a failure and reports whether it has a line.
func (o *Outage) Fail(now time.Duration) (tell bool) {
	o.attempts++
	if !o.Lasts() {
		o.BeginOutage(now)
		return true
	}
	return o.Remind(now)
}

// Attempts returns the number of failures so far.
func (o *Outage) Attempts() int { return o.attempts }

// End ends the outage. It returns how many failures there were and how long the outage lasted; both
// are 0 if there was none.
func (o *Outage) End(now time.Duration) (attempts int, lasted time.Duration) {
	attempts = o.attempts
	lasted = o.Reminder.End(now)
	o.attempts = 0
	return attempts, lasted
}

// CountAttempt counts a failure that has no line by itself: Remind tells when the next one is due.
func (o *Outage) CountAttempt() { o.attempts++ }
