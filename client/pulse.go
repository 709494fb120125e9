package client

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// pulseInterval is the time between two checks of states that may last.
const pulseInterval = time.Second

// maxLateness is the delay of a pulse from which on the log tells of it.
const maxLateness = time.Second

// A pulse wakes the session goroutine each pulseInterval while it waits. It belongs to that
// goroutine.
type pulse struct {
	timer   *time.Timer
	wake    signal.Signal // not the channel of the timer: golang.org/issue/78156
	due     time.Time
	waiting time.Time // the goroutine has waited since then
	told    time.Time // the log has told that the process did not run; zero: never
}

func newPulse() pulse {
	wake := signal.New()
	return pulse{timer: time.AfterFunc(pulseInterval, wake.Set), wake: wake, due: time.Now().Add(pulseInterval)}
}

// wait notes that the goroutine begins to wait, and returns the signal of the next pulse.
func (p *pulse) wait() signal.Signal {
	p.waiting = time.Now()
	return p.wake
}

// beat sets the timer again after it has fired. late is the time for which the process did not run
// since the timer was due, 0 if the goroutine was busy then.
func (p *pulse) beat(now time.Time) (late time.Duration) {
	if !p.due.Before(p.waiting) {
		late = now.Sub(p.due)
	}
	p.due = now.Add(pulseInterval)
	p.timer.Reset(pulseInterval)
	return late
}

// logLateness logs that the process did not run, if the pulse was late.
func (c *Client) logLateness(late time.Duration, now time.Time) {
	p := &c.pulse
	if late < maxLateness || !p.told.IsZero() && now.Sub(p.told) < time.Minute {
		return
	}
	p.told = now
	c.cfg.Logger.Warn("this process did not run for some time: it was stopped, or the machine is overloaded", "duration", late)
}
