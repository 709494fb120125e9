package failover

import (
	"errors"
	"os"
	"slices"
	"time"
)

// openStderr returns the function that opens the standard error of a server, nil for its
// log file.
func (r *run) openStderr() func() (*os.File, error) {
	switch r.stderr {
	case "unread":
		return r.openUnread
	case "dead":
		return openDead
	}
	return nil
}

// openDead returns a pipe whose reader is dead.
func openDead() (*os.File, error) {
	reader, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return w, reader.Close()
}

// openUnread returns a pipe that is full and has no reader while the run lasts.
func (r *run) openUnread() (*os.File, error) {
	reader, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.unread = append(r.unread, reader)
	r.mu.Unlock()
	for err == nil {
		if err = w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err == nil {
			_, err = w.Write(make([]byte, 4096))
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		w.Close()
		return nil, err
	}
	return w, nil
}

// anyDropped reports whether a server has dropped lines of its log.
func (r report) anyDropped() bool {
	return slices.ContainsFunc(r.dropped, func(n uint64) bool { return n > 0 })
}
