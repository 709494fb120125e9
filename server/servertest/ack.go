package servertest

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// DelayAcks delays the persisted acks that the instance sends to publishers by d.
// The acks keep their order, and all other frames overtake them. With d = 0 new
// acks are no longer delayed, but they still wait for the acks that are delayed
// already. An ack that has not been sent when its connection ends is lost. The
// client then sends the acknowledged messages again.
func (i *Instance) DelayAcks(d time.Duration) { i.taps.delay.Store(int64(max(d, 0))) }

// An ackDelayer writes the server's output to a connection. It delays the persisted
// acks of publishers.
type ackDelayer struct {
	conn       net.Conn
	timer      *time.Timer // calls release
	heartbeats atomic.Bool // the client has asked for heartbeats

	mu       sync.Mutex   // held while writing: there is one writer at a time
	frame    framer       // guarded by mu, like the rest
	partial  []byte       // first part of a frame that is not complete yet
	delayed  []delayedAck // in order
	loggedOn bool         // the logon ack has been sent
}

// A delayedAck is a frame that leaves when it is due and all frames before it have left.
type delayedAck struct {
	due   time.Time
	frame []byte
}

func (l *ackDelayer) init(conn net.Conn) {
	l.conn = conn
	l.timer = time.AfterFunc(time.Hour, l.release)
	l.timer.Stop()
}

// write sends p, except the acks in it that are delayed.
func (l *ackDelayer) write(p []byte, delay time.Duration) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loggedOn && delay == 0 && len(l.delayed) == 0 && len(l.partial) == 0 {
		l.frame.skip(p)
		return l.conn.Write(p)
	}
	out := l.splitLocked(p, delay)
	if len(out) == 0 && l.heartbeats.Load() {
		out = (&wire.HeartbeatCommand{}).AppendTo(nil) // a sign of life in place of the ack
	}
	if len(out) > 0 {
		if _, err := l.conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// splitLocked takes the acks to be delayed out of p and returns the rest.
func (l *ackDelayer) splitLocked(p []byte, delay time.Duration) []byte {
	p = append(l.partial, p...)
	l.partial = nil
	out := make([]byte, 0, len(p))
	for len(p) > 0 {
		before := l.frame
		n, whole := l.frame.next(p)
		if !whole && before.isBetween() {
			l.frame, l.partial = before, p
			break
		}
		if whole && l.isDelayedLocked(p[:n], delay) {
			l.delayLocked(p[:n], delay)
		} else {
			out = append(out, p[:n]...)
		}
		p = p[n:]
	}
	return out
}

// isDelayedLocked reports whether a frame is an ack to be delayed. Acks before the
// logon ack are not delayed: they are part of the answer to the logon (R14).
func (l *ackDelayer) isDelayedLocked(frame []byte, delay time.Duration) bool {
	if l.loggedOn && delay == 0 && len(l.delayed) == 0 {
		return false
	}
	var m wire.Message
	if wire.Parse(frame[lengthBytes:], &m) != nil || m.Command != wire.Ack {
		return false
	}
	if !l.loggedOn {
		l.loggedOn = m.ClientName != nil
		return false
	}
	return m.Acks&wire.AckPersisted != 0 && m.SubID == nil && (delay > 0 || len(l.delayed) > 0)
}

// delayLocked delays an ack, behind the acks that are delayed already.
func (l *ackDelayer) delayLocked(frame []byte, delay time.Duration) {
	l.delayed = append(l.delayed, delayedAck{time.Now().Add(delay), frame})
	if len(l.delayed) == 1 {
		l.timer.Reset(delay)
	}
}

// release sends the acks that are due, up to the first that is not.
func (l *ackDelayer) release() {
	const deadline = 10 * time.Second // the deadline that the server set may have passed
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []byte
	for now := time.Now(); len(l.delayed) > 0 && !l.delayed[0].due.After(now); l.delayed = l.delayed[1:] {
		out = append(out, l.delayed[0].frame...)
	}
	if len(out) > 0 {
		err := l.conn.SetWriteDeadline(time.Now().Add(deadline))
		if err == nil {
			_, err = l.conn.Write(out)
		}
		if err != nil {
			l.delayed = nil // the connection has ended
		}
	}
	if len(l.delayed) > 0 {
		l.timer.Reset(time.Until(l.delayed[0].due))
	}
}

const lengthBytes = 4 // bytes of a frame's length

// A framer tracks where frames begin in a stream that is written in pieces.
type framer struct {
	head      [lengthBytes]byte
	headBytes int    // bytes in head so far
	missing   uint32 // missing bytes of the frame whose head is complete
}

// isBetween reports whether a frame begins here.
func (f *framer) isBetween() bool { return f.headBytes == 0 && f.missing == 0 }

// next returns the number of bytes of p that belong to the current or the next
// frame, and whether these bytes are the whole frame.
func (f *framer) next(p []byte) (n int, whole bool) {
	atStart := f.isBetween()
	if f.missing == 0 {
		n = copy(f.head[f.headBytes:], p)
		if f.headBytes += n; f.headBytes < lengthBytes {
			return n, false
		}
		f.headBytes, f.missing = 0, binary.BigEndian.Uint32(f.head[:])
	}
	body := uint32(min(uint64(f.missing), uint64(len(p)-n)))
	f.missing -= body
	return n + int(body), atStart && f.missing == 0
}

// skip advances past p.
func (f *framer) skip(p []byte) {
	for len(p) > 0 {
		n, _ := f.next(p)
		p = p[n:]
	}
}
