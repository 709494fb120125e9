//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// loadBare runs the client of the bare pipeline and answers with a sample.
func loadBare(spec []byte) error {
	var j bareJob
	if err := json.Unmarshal(spec, &j); err != nil {
		return err
	}
	conn, err := net.Dial("tcp", j.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(j.limit())); err != nil {
		return err
	}
	kinds := map[string]func(net.Conn) (sample, error){"publish": j.publish, "latency": j.latency, "replay": j.replay}
	s, err := kinds[j.Kind](conn)
	if err != nil {
		return err
	}
	return writeAnswer(s)
}

// publish is B1.
func (j *bareJob) publish(conn net.Conn) (sample, error) {
	began := time.Now()
	f := &inFlight{conn: conn, text: body(1, j.Size), total: uint64(j.Messages)}
	f.changed.L = &f.mu
	go f.send() // ends before the last ack arrives, or with the process
	if err := eachAck(conn, f.ack); err != nil {
		return nil, fmt.Errorf("wait for acks: %w", err)
	}
	return sample{published: float64(j.Messages) / time.Since(began).Seconds()}, nil
}

// latency is B2.
func (j *bareJob) latency(conn net.Conn) (sample, error) {
	frame := appendFrame(nil, body(1, j.Size))
	return latencies(j.Messages, func() error {
		if _, err := conn.Write(frame); err != nil {
			return err
		}
		return eachAck(conn, func(uint64) (more bool) { return false })
	})
}

// replay is B3.
func (j *bareJob) replay(conn net.Conn) (sample, error) {
	began, got := time.Now(), 0
	err := eachChunk(conn, func(_ []byte, frames int) error {
		got += frames
		return nil
	})
	if err == nil && got != j.Messages {
		err = fmt.Errorf("received %d messages instead of %d", got, j.Messages)
	}
	if err != nil {
		return nil, err
	}
	return sample{published: float64(j.Messages) / time.Since(began).Seconds()}, nil
}

// An inFlight is the window of a publisher: messages sent and not acked.
type inFlight struct {
	conn  net.Conn
	text  []byte
	total uint64

	mu      sync.Mutex
	changed sync.Cond // of mu
	acked   uint64    // guarded by mu
}

// send sends all messages, as many in one write as the window and a buffer allow.
func (f *inFlight) send() {
	var chunk []byte
	for sent := uint64(0); sent < f.total; {
		until := min(f.awaitWindow(sent), f.total)
		for chunk = chunk[:0]; sent < until && len(chunk) < readBuffer/4; sent++ {
			chunk = appendFrame(chunk, f.text)
		}
		if _, err := f.conn.Write(chunk); err != nil {
			return // the goroutine that reads acks gets the error
		}
	}
}

// awaitWindow waits until more than sent messages may be sent, and returns the new limit.
func (f *inFlight) awaitWindow(sent uint64) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.acked+bareWindow <= sent {
		f.changed.Wait()
	}
	return f.acked + bareWindow
}

// ack records an ack and reports whether more will come.
func (f *inFlight) ack(acked uint64) (more bool) {
	f.mu.Lock()
	f.acked = acked
	f.mu.Unlock()
	f.changed.Signal()
	return acked < f.total
}
