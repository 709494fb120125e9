//go:build linux

package main

import (
	"maps"
	"slices"
	"time"
)

// A watch measures the effect of one fault on the clients. It isn't safe for concurrent
// use.
type watch struct {
	begun      time.Time
	faultTime  time.Time           // service counts again for messages published later
	acks       map[string]*service // persisted, on one disk or on both
	safe       map[string]*service // of these, the safe ones
	deliveries map[string]*service
}

// A service is the service to one client since the watch began.
type service struct {
	last    time.Time     // when it got anything
	silence time.Duration // the longest time without anything
	next    time.Time     // when it got the first thing published after the mark; zero: not yet
}

func newWatch(at time.Time, publishers, subscribers []string) *watch {
	w := &watch{begun: at, acks: make(map[string]*service), safe: make(map[string]*service), deliveries: make(map[string]*service)}
	for _, p := range publishers {
		w.acks[p], w.safe[p] = new(service), new(service)
	}
	for _, s := range subscribers {
		w.deliveries[s] = new(service)
	}
	w.setFaultTime(at)
	for _, s := range w.all() {
		s.last = at
	}
	return w
}

func (w *watch) all() (list []*service) {
	for _, of := range []map[string]*service{w.acks, w.safe, w.deliveries} {
		list = slices.AppendSeq(list, maps.Values(of))
	}
	return list
}

// end ends the watch: the silence of a client without service lasts until now.
func (w *watch) end(at time.Time) {
	for _, s := range w.all() {
		s.silence = max(s.silence, at.Sub(s.last))
	}
}

// setFaultTime sets when the fault happened. Silence is measured all along.
func (w *watch) setFaultTime(at time.Time) {
	w.faultTime = at
	for _, s := range w.all() {
		s.next = time.Time{}
	}
}

// served notes that a client got something; after: it was published after the fault.
func (w *watch) served(of map[string]*service, client string, at time.Time, after bool) {
	s := of[client]
	if s == nil {
		return
	}
	s.silence = max(s.silence, at.Sub(s.last))
	s.last = at
	if after && s.next.IsZero() {
		s.next = at
	}
}

// recovered reports whether every client is served again, if only by one instance.
func (w *watch) recovered() bool {
	for _, of := range []map[string]*service{w.acks, w.deliveries} {
		for _, s := range of {
			if s.next.IsZero() {
				return false
			}
		}
	}
	return true
}

// silence returns the longest time that a client went without anything.
func silence(of map[string]*service) (d time.Duration) {
	for _, s := range of {
		d = max(d, s.silence)
	}
	return d
}

// recoveryTimes returns how long after the mark the first and the last client were served again.
func (w *watch) recoveryTimes(of map[string]*service) (first, last time.Duration) {
	for _, s := range of {
		d := max(0, s.next.Sub(w.faultTime))
		last = max(last, d)
		if first == 0 || d < first {
			first = d
		}
	}
	return first, last
}
