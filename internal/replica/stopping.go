package replica

import (
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// frameStopping tells the progress of an instance's stop. A running instance answers it.
const frameStopping frameType = 15

// A stopPhase is the progress of an instance's stop.
type stopPhase uint64

const (
	running  stopPhase = iota
	draining           // its sessions wait for outstanding acks
	drained            // none of its sessions waits for acks any more
)

// A stopSaid is a peer's last report about its stop.
type stopSaid struct {
	phase stopPhase
	said  bool // on this connection
}

// A stopState is the state of this instance's stop. Its channels are nil until it stops.
type stopState struct {
	phase    atomic.Uint64 // a stopPhase; changed with Links.mu held
	deserted chan struct{} // closed when acks will not come because a peer has stopped; guarded by Links.mu
	alone    chan struct{} // closed when every linked peer has said that it does not drain; guarded by Links.mu
}

// Drain begins the stop: the instance waits for acks until Drained is called. The peers are told.
// The channel is closed when the acks of a sync destination will not come because it has stopped
// as well.
func (l *Links) Drain() (deserted <-chan struct{}) { return l.enter(draining, &l.stopping.deserted) }

// Drained says that the instance waits for no more acks. The channel is closed when each linked
// peer has said that it runs or waits for none either.
func (l *Links) Drained() (alone <-chan struct{}) { return l.enter(drained, &l.stopping.alone) }

// enter begins a phase. The phase ends when the returned channel is closed.
func (l *Links) enter(phase stopPhase, over *chan struct{}) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	*over = make(chan struct{})
	l.stopping.phase.Store(uint64(phase))
	for _, c := range l.linkedLocked() {
		if !failpoint.On(failpoint.StopUntold) {
			c.tellPhaseLocked()
		}
	}
	l.lookAtStopLocked()
	return *over
}

func (s *stopState) now() stopPhase { return stopPhase(s.phase.Load()) }

// tellPhaseLocked queues our phase for the peer. A connection whose queue is full ends by itself.
func (c *conn) tellPhaseLocked() {
	phase := c.l.stopping.now()
	_ = c.queueLocked(newFrame(frameStopping, &phase))
}

func (s *stopPhase) fields(c codec) { c.upTo((*uint64)(s), uint64(drained)) }

// takeStopping handles the peer's report about its stop.
func (c *conn) takeStopping(d *decoder) error {
	var phase stopPhase
	if err := d.body(&phase); err != nil {
		return err
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.peer.phase == running && phase != running {
		c.l.o.Log.Info("the peer stops", "peer", c.peer.name)
	}
	c.peer.stopSaid = stopSaid{phase, true}
	if phase != running && c.l.stopping.now() == running {
		c.tellPhaseLocked()
	}
	c.l.lookAtStopLocked()
	return nil
}

// lookAtStopLocked closes the channels of the stop for which nothing is to be waited any more.
func (l *Links) lookAtStopLocked() {
	deserted, alone := false, true
	for _, p := range l.peers {
		if p.conn != nil {
			alone = alone && p.said && p.phase != draining
		} else if p.phase != running && p.dest.Sync && !p.ack.Downgraded() {
			deserted = true
		}
	}
	closeOnce(l.stopping.deserted, deserted)
	closeOnce(l.stopping.alone, alone)
}

func closeOnce(c chan struct{}, so bool) {
	if c != nil && so && !isClosed(c) {
		close(c)
	}
}
