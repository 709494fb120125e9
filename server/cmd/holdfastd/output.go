package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

const (
	outputBytes = 1 << 20                // that an output holds while nobody reads
	outputEnd   = 500 * time.Millisecond // that the end of the process waits for a reader
)

// An output writes lines to where perhaps nobody reads: a pipe that is full or whose
// reader has died, a terminal that is gone. Its owner never waits: lines for which there
// is no room are dropped and counted. Safe for concurrent use.
type output struct {
	w       io.Writer
	dropped atomic.Uint64 // lines
	wake    signal.Signal
	ended   chan struct{} // closed when all is written after close

	mu     sync.Mutex
	lines  [][]byte // guarded by mu
	bytes  int      // of lines; guarded by mu
	closed bool     // guarded by mu
}

// newOutput starts the goroutine that writes. It ends after close, unless it waits for
// a reader that does not come.
func newOutput(w io.Writer) *output {
	o := &output{w: w, wake: signal.New(), ended: make(chan struct{})}
	go o.run()
	return o
}

// Write takes one line, or drops it. It never fails.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	fits := o.bytes+len(line) <= outputBytes
	if fits {
		o.lines = append(o.lines, append([]byte(nil), line...))
		o.bytes += len(line)
	}
	o.mu.Unlock()
	if fits {
		o.wake.Set()
	} else {
		o.dropped.Add(1)
	}
	return len(line), nil
}

// run writes until the output is closed.
func (o *output) run() {
	defer close(o.ended)
	told := uint64(0) // of the dropped lines
	for {
		lines, closed := o.take()
		for _, line := range lines {
			if _, err := o.w.Write(line); err != nil {
				o.dropped.Add(1)
			}
		}
		if n := o.dropped.Load(); n > told && len(lines) > 0 {
			if _, err := fmt.Fprintf(o.w, "holdfastd: nobody took %d lines of the log, which were dropped\n", n-told); err == nil {
				told = n
			}
		}
		if len(lines) > 0 {
			continue
		}
		if closed {
			return
		}
		<-o.wake
	}
}

func (o *output) take() (lines [][]byte, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines, o.lines, o.bytes = o.lines, nil, 0
	return lines, o.closed
}

// close waits until all is written, for a moment at most.
func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.wake.Set()
	select {
	case <-o.ended:
	case <-time.After(outputEnd):
	}
}
