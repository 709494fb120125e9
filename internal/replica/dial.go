package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/logging"
)

const (
	minDelay     = 50 * time.Millisecond
	maxDelay     = 5 * time.Second
	stableAfter  = time.Second     // after a connection of this length the delay starts over
	refusedDelay = 5 * time.Second // between attempts after a refusal
	dialTimeout  = 5 * time.Second
	acceptDelay  = 100 * time.Millisecond
)

// dial keeps a destination connected until the links close.
func (l *Links) dial(p *peer) {
	delay := minDelay
	for l.awaitDisconnected(p) {
		start := l.now()
		err := l.dialOnce(p)
		if l.ctx.Err() != nil {
			return
		}
		wait := l.noteAttempt(p, err, start, delay)
		if delay = min(2*delay, maxDelay); l.now()-start >= stableAfter {
			delay = minDelay
		}
		if !l.sleep(wait) {
			return
		}
	}
}

// awaitDisconnected waits until p has no connection. It returns false if the links close.
func (l *Links) awaitDisconnected(p *peer) bool {
	for {
		l.mu.Lock()
		c := p.conn
		l.mu.Unlock()
		if c == nil {
			return l.ctx.Err() == nil
		}
		if !l.waitFor(l.ctx, c.ended) {
			return false
		}
	}
}

// dialOnce dials, and serves the connection until it ends.
func (l *Links) dialOnce(p *peer) error {
	ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
	defer cancel()
	nc, err := l.o.Dial(ctx, p.dest.Address)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dial %s: no answer within %v", p.dest.Address, dialTimeout)
	}
	if err != nil {
		return fmt.Errorf("dial %s: %w", p.dest.Address, err)
	}
	if l.o.Secure != nil {
		secure, err := l.o.Secure(ctx, nc, p.name)
		if err != nil {
			_ = nc.Close()
			return fmt.Errorf("dial %s: %w", p.dest.Address, err)
		}
		nc = secure
	}
	cancel()
	return l.newConn(nc, p).run()
}

// noteAttempt records why an attempt that began at start has ended, and returns the delay before the
// next one.
func (l *Links) noteAttempt(p *peer, err error, start, delay time.Duration) time.Duration {
	r, refusal := errors.AsType[*RefusedError](err)
	l.mu.Lock()
	if p.conn == nil {
		p.reason = err.Error()
	}
	slow := refusal && (r.aboutPeer() || p.refusals.Down())
	if refusal && r.aboutPeer() {
		p.refused.Add(1)
	}
	tell := false
	if failed := p.conn == nil && p.awaySince <= start; failed { // it did not become a link that has ended meanwhile
		tell = p.states.attemptFailed(err, refusal && r.Code != refuseCrossed)
	}
	l.mu.Unlock()

	if refusal && r.aboutPeer() {
		l.notifyRefused(p.name, p.dest.Address, err)
	}
	if refusal && r.Code == refuseCluster && r.ByPeer {
		l.noteForeign(p, err, false)
	}
	if tell {
		l.o.Log.Warn("link is refused", "peer", p.name, "address", p.dest.Address, "reason", err)
	}
	if slow {
		return refusedDelay
	}
	return delay/2 + rand.N(delay/2)
}

// sleep waits for d. It returns false if the links close.
func (l *Links) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// accept accepts connections until the listener is closed.
func (l *Links) accept() {
	var outage logging.Outage
	for {
		nc, err := l.o.Listener.Accept()
		if err != nil {
			if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if outage.Fail(l.now()) {
				l.o.Log.Error("cannot accept connections of peers", "error", err, "attempts", outage.Attempts())
			}
			if !l.sleep(acceptDelay) {
				return
			}
			continue
		}
		if attempts, lasted := outage.End(l.now()); attempts > 0 {
			l.o.Log.Info("connections of peers are accepted again", "attempts", attempts, "duration", lasted)
		}
		if !l.pending.admits(hostOf(nc.RemoteAddr()), l.now()) {
			_ = nc.Close()
			l.logNoLink(nc.RemoteAddr(), errTooManyStrangers)
			continue
		}
		l.wg.Go(func() { l.serve(nc) })
	}
}

// serve runs an accepted connection.
func (l *Links) serve(nc net.Conn) {
	c := l.newConn(nc, nil)
	address := nc.RemoteAddr()
	c.remoteHost = hostOf(address)
	err := c.run()
	r, refusal := errors.AsType[*RefusedError](err)
	if c.peer != nil || errors.Is(err, ErrClosed) || refusal && r.Code == refuseCrossed {
		return
	}
	name := ""
	if c.identified {
		name = c.hello.Name
	}
	if refusal && name != "" {
		l.peer(name).refused.Add(1)
	}
	if refusal {
		l.notifyRefused(name, address.String(), err)
	}
	l.logNoLink(address, err)
}

func (l *Links) notifyRefused(peer, address string, reason error) {
	if l.o.OnRefused != nil {
		l.o.OnRefused(peer, address, reason)
	}
}

// logNoLink logs an accepted connection that did not become a link, or counts it for the next such
// log line.
func (l *Links) logNoLink(address net.Addr, err error) {
	if unlogged, ok := l.pending.countNoLink(l.now()); ok {
		l.o.Log.Warn("a connection to the replication port did not become a link", "address", address, "reason", err, "left_out", unlogged)
	}
}

// refusalSpacing is the minimum time between two log lines about connections that did not become
// links. So strangers cannot fill the log.
const refusalSpacing = time.Second
