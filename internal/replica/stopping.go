package replica

import (
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// frameStopping reports the progress of an instance's stop. A running instance answers it.
const frameStopping frameType = 15

// A stopPhase is the progress of an instance's stop.
type stopPhase uint64

const (
	phaseRunning  stopPhase = iota
	phaseDraining           // its sessions wait for outstanding acks
	phaseDrained            // none of its sessions waits for acks any more
)

// A stopReport is a peer's last report about its stop.
type stopReport struct {
	phase    stopPhase
	reported bool // on this connection
}

// A stopState is the state of this instance's stop. Its channels are nil until it stops.
type stopState struct {
	phase        atomic.Uint64 // a stopPhase; changed with Links.mu held
	peerStopped  chan struct{} // closed when acks will not come because a peer has stopped; guarded by Links.mu
	noneDraining chan struct{} // closed when every linked peer has said that it does not drain; guarded by Links.mu
}

// Drain begins the stop: the instance waits for acks until Drained is called. The peers are told.
// The channel is closed if acks of a sync destination will not come because it has stopped as well.
func (l *Links) Drain() (peerStopped <-chan struct{}) {
	return l.beginPhase(phaseDraining, &l.stopping.peerStopped)
}

// Drained tells the peers that the instance waits for no more acks. The channel is closed when no
// linked peer needs the links any more: each has said either that it is not stopping, or that it
// waits for no more acks as well.
func (l *Links) Drained() (noneDraining <-chan struct{}) {
	return l.beginPhase(phaseDrained, &l.stopping.noneDraining)
}

// beginPhase begins a phase. The phase ends when the returned channel is closed.
func (l *Links) beginPhase(phase stopPhase, done *chan struct{}) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	*done = make(chan struct{})
	l.stopping.phase.Store(uint64(phase))
	for _, c := range l.linkedLocked() {
		if !failpoint.On(failpoint.StopUntold) {
			c.sendPhaseLocked()
		}
	}
	l.updateStopLocked()
	return *done
}

func (s *stopState) current() stopPhase { return stopPhase(s.phase.Load()) }

// sendPhaseLocked queues our phase for the peer. A connection whose queue is full ends by itself.
func (c *conn) sendPhaseLocked() {
	phase := c.l.stopping.current()
	_ = c.queueLocked(newFrame(frameStopping, &phase))
}

func (s *stopPhase) fields(c codec) { c.uintUpTo((*uint64)(s), uint64(phaseDrained)) }

// handleStopping handles the peer's report about its stop.
func (c *conn) handleStopping(d *decoder) error {
	var phase stopPhase
	if err := d.body(&phase); err != nil {
		return err
	}
	c.l.mu.Lock()
	defer c.l.unlockAndNotify()
	if c.peer.phase == phaseRunning && phase != phaseRunning {
		c.l.deferLocked(func() { c.l.o.Log.Info("the peer stops", "peer", c.peer.name) })
	}
	c.peer.stopReport = stopReport{phase, true}
	if phase != phaseRunning && c.l.stopping.current() == phaseRunning {
		c.sendPhaseLocked()
	}
	c.l.updateStopLocked()
	return nil
}

// updateStopLocked closes the channels of the stop on which nothing has to wait any more.
func (l *Links) updateStopLocked() {
	stopped, noneDraining := false, true
	for _, p := range l.peers {
		if p.conn != nil {
			noneDraining = noneDraining && p.reported && p.phase != phaseDraining
		} else if p.phase != phaseRunning && p.dest.Sync && !p.ack.Downgraded() {
			stopped = true
		}
	}
	closeIf(l.stopping.peerStopped, stopped)
	closeIf(l.stopping.noneDraining, noneDraining)
}

func closeIf(c chan struct{}, condition bool) {
	if c != nil && condition && !isClosed(c) {
		close(c)
	}
}
