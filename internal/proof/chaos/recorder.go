//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// A recorder writes the events of the clients to the history, and knows those that the
// faults must wait for. Safe for concurrent use.
type recorder struct {
	mu          sync.Mutex
	file        *os.File
	out         *bufio.Writer
	lines       *json.Encoder
	failed      error                     // guarded by mu: the history could not be written
	streams     map[string]*stream        // guarded by mu: by publisher
	handed      map[string]int            // guarded by mu: messages handed to a subscriber, in all its lives
	connectedTo map[string]string         // guarded by mu: server that a client is connected to
	drained     int                       // guarded by mu: processes whose messages are all safe
	current     *watch                    // guarded by mu
	onStrange   func(client, text string) // called with events that must not happen
}

// A stream is the state of one publisher.
type stream struct {
	last      uint64               // number of the last message published
	published []time.Time          // by sequence-1
	byNumber  map[uint64]time.Time // the same, by number
	acked     uint64               // sequence
}

func newRecorder(file string, strange func(client, text string)) (*recorder, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	l := &recorder{file: f, out: bufio.NewWriter(f), onStrange: strange,
		streams: make(map[string]*stream), handed: make(map[string]int), connectedTo: make(map[string]string)}
	l.lines = json.NewEncoder(l.out)
	return l, nil
}

// close completes the history.
func (l *recorder) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.out.Flush(); l.failed == nil {
		l.failed = err
	}
	if err := l.file.Close(); l.failed == nil {
		l.failed = err
	}
	return l.failed
}

// recordLine records a line that a client has written.
func (l *recorder) recordLine(line string) {
	var w historyEvent
	if err := json.Unmarshal([]byte(line), &w); err != nil {
		w = historyEvent{Kind: eventStrange, Text: fmt.Sprintf("a client said %q", line)}
	}
	l.record(w)
}

// record records an event.
func (l *recorder) record(w historyEvent) {
	if w.Time == 0 {
		w.Time = time.Now().UnixMicro()
	}
	if w.Kind == eventStrange {
		l.onStrange(w.Client, w.Text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.lines.Encode(w); l.failed == nil {
		l.failed = err
	}
	switch w.Kind {
	case eventPublished:
		l.publishedLocked(w)
	case eventAcked:
		l.ackedLocked(w)
	case eventHanded:
		l.handedLocked(w)
	case eventConnected:
		l.connectedTo[w.Client] = w.Text
	case eventLost:
		delete(l.connectedTo, w.Client)
	case eventDrained:
		l.drained++
	}
}

func (l *recorder) streamLocked(name string) *stream {
	s := l.streams[name]
	if s == nil {
		s = &stream{byNumber: make(map[uint64]time.Time)}
		l.streams[name] = s
	}
	return s
}

func (l *recorder) publishedLocked(w historyEvent) {
	s := l.streamLocked(w.Client)
	for uint64(len(s.published)) < w.Sequence { // a doubtful one before it is taken as published now
		s.published = append(s.published, w.at())
	}
	s.last = w.N
	s.byNumber[w.N] = w.at()
}

func (l *recorder) ackedLocked(w historyEvent) {
	s := l.streamLocked(w.Client)
	s.acked = max(s.acked, w.Sequence)
	if l.current == nil {
		return
	}
	// The ack may be heard before the word of the publish.
	known := min(w.Sequence, uint64(len(s.published)))
	after := known > 0 && s.published[known-1].After(l.current.faultTime)
	l.current.served(l.current.acks, w.Client, w.at(), after)
	if !w.Single {
		l.current.served(l.current.safe, w.Client, w.at(), after)
	}
}

func (l *recorder) handedLocked(w historyEvent) {
	l.handed[w.Client]++
	if l.current != nil {
		at, known := l.streamLocked(w.Publisher).byNumber[w.N]
		l.current.served(l.current.deliveries, w.Client, w.at(), known && at.After(l.current.faultTime))
	}
}

// publishersKilled records that a process of publishers was killed: each may have been
// publishing its next message. It returns the next number of each.
func (l *recorder) publishersKilled(names []string) (next []uint64) {
	for _, name := range names {
		l.mu.Lock()
		s := l.streamLocked(name)
		s.last++
		n := s.last
		l.mu.Unlock()
		l.record(historyEvent{Kind: eventDoubtful, Client: name, N: n})
		next = append(next, n+1)
	}
	return next
}

// sessions returns how many clients are connected to a server.
func (l *recorder) sessions(server string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.connectedTo {
		if s == server {
			n++
		}
	}
	return n
}

// disconnected records that the clients of a process are gone with it.
func (l *recorder) disconnected(names []string) {
	for _, name := range names {
		l.record(historyEvent{Kind: eventLost, Client: name, Text: "killed"})
	}
}

// totals returns how many messages were published, and how many were handed to
// the one of the subscribers that got fewest.
func (l *recorder) totals(subscribers []string) (publishes, received int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		publishes += len(s.byNumber)
	}
	received = publishes
	for i, name := range subscribers {
		if i == 0 || l.handed[name] < received {
			received = l.handed[name]
		}
	}
	return publishes, received
}

// drainedCount returns how many processes of publishers have said that all is safe.
func (l *recorder) drainedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.drained
}

// watch sets the watch that measures from now on, and returns the one before.
func (l *recorder) watch(w *watch) (before *watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.current = l.current, w
	return before
}

// setFaultTime sets when the fault that is watched happened.
func (l *recorder) setFaultTime(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current.setFaultTime(at)
}

// recovered reports whether every client is served again.
func (l *recorder) recovered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current.recovered()
}
