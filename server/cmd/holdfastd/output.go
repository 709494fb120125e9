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
	maxOutputBytes     = 1 << 20                // buffered while nobody reads
	outputCloseTimeout = 500 * time.Millisecond // wait for the reader at the end of the process
)

// An output writes lines to a file that perhaps nobody reads: a full pipe, a pipe without reader, a
// closed terminal. Callers never wait: lines that do not fit into the buffer are dropped and
// counted. It is safe for concurrent use.
type output struct {
	w       io.Writer
	dropped atomic.Uint64 // number of lines
	wake    signal.Signal
	ended   chan struct{} // closed when everything is written after close

	mu     sync.Mutex
	lines  [][]byte // guarded by mu
	bytes  int      // guarded by mu; size of lines
	closed bool     // guarded by mu
}

// newOutput starts the goroutine that writes. It ends after close, unless it is blocked by a
// missing reader.
func newOutput(w io.Writer) *output {
	o := &output{w: w, wake: signal.New(), ended: make(chan struct{})}
	go o.run()
	return o
}

// Write buffers or drops one line. It never fails.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	fits := o.bytes+len(line) <= maxOutputBytes
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
	reported := uint64(0) // number of dropped lines that were reported
	for {
		lines, closed := o.takeLines()
		for _, line := range lines {
			if _, err := o.w.Write(line); err != nil {
				o.dropped.Add(1)
			}
		}
		if n := o.dropped.Load(); n > reported && len(lines) > 0 {
			if _, err := fmt.Fprintf(o.w, "holdfastd: dropped %d log lines that nobody read\n", n-reported); err == nil {
				reported = n
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

func (o *output) takeLines() (lines [][]byte, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines, o.lines, o.bytes = o.lines, nil, 0
	return lines, o.closed
}

// close waits until everything is written, at most outputCloseTimeout.
func (o *output) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.wake.Set()
	select {
	case <-o.ended:
	case <-time.After(outputCloseTimeout):
	}
}
