package replica

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// LeaveOut downgrades a sync destination now, because an operator is about to stop it (R5). While it
// stays connected it is left out, until CountAgain. Once it has disconnected, the usual rule holds:
// it counts again when it is back and has caught up. The error says why the destination must not be
// left out.
func (l *Links) LeaveOut(name string) error {
	now := l.now()
	l.mu.Lock()
	defer l.unlockAndNotify()
	p, err := l.syncDestinationLocked(name)
	switch {
	case err != nil:
		return err
	case p.dest.DowngradeAfter <= 0:
		return fmt.Errorf("%s has no downgrade_after: by the configuration acks always wait for it", name)
	case !p.ack.Downgraded() && !l.mayDowngradeLocked(p):
		return fmt.Errorf("with %s left out, acks would wait for fewer than min_sync = %d other instances", name, l.o.MinSync)
	}
	p.ack.LeaveOut(p.conn != nil)
	l.updateAckStateLocked(p, now)
	return nil
}

// CountAgain ends LeaveOut. It reports whether the destination counts: otherwise it counts once it
// has caught up.
func (l *Links) CountAgain(name string) (counts bool, err error) {
	now := l.now()
	l.mu.Lock()
	defer l.unlockAndNotify()
	p, err := l.syncDestinationLocked(name)
	if err != nil {
		return false, err
	}
	p.ack.EndLeaveOut()
	l.updateAckStateLocked(p, now)
	return !p.ack.Downgraded(), nil
}

// syncDestinationLocked returns a sync destination.
func (l *Links) syncDestinationLocked(name string) (*peer, error) {
	switch p := l.peers[name]; {
	case p == nil:
		return nil, fmt.Errorf("%q is not a peer of this instance", name)
	case !p.dest.Sync:
		return nil, fmt.Errorf("acks do not wait for %s: it is not a synchronous destination of this instance", name)
	default:
		return p, nil
	}
}

// LeaveOut makes the next Update downgrade the destination. hold says that it stays downgraded, even
// if nothing waits for it, until EndLeaveOut.
func (a *AckState) LeaveOut(hold bool) {
	a.leaveOut = !a.downgraded
	a.held = hold && !failpoint.On(failpoint.R5LeaveOutForgotten)
}

// EndLeaveOut ends LeaveOut.
func (a *AckState) EndLeaveOut() { a.leaveOut, a.held = false, false }

// Held reports whether the destination is left out until EndLeaveOut.
func (a *AckState) Held() bool { return a.held }
