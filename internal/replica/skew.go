package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// MaxSkew is by how much the wall clocks of two instances may differ before they
// disagree. A heartbeat that took longer than this has lost its link, or nearly.
const MaxSkew = 5 * time.Second

// skewBeats is how many heartbeats a skew is estimated from.
const skewBeats = 8

// A Skew estimates by how much a peer's wall clock is ahead of ours, from the time in
// its heartbeats. One that was on its way for long makes that seem less, so that the
// most of the last few counts.
type Skew struct {
	ahead    [skewBeats]time.Duration
	n        int // heartbeats so far
	disagree bool
}

// Beat takes in by how much the time in a heartbeat was ahead of ours when it came. It
// reports whether the clocks have begun to disagree, or have ceased to.
func (s *Skew) Beat(ahead time.Duration) (changed bool) {
	s.ahead[s.n%skewBeats] = ahead
	s.n++
	bound := MaxSkew
	if s.disagree {
		bound /= 2 // a skew that is close to the bound is one disagreement
	}
	was := s.disagree
	s.disagree = s.Estimate().Abs() > bound
	return s.disagree != was
}

// Estimate returns by how much the peer's clock is ahead; 0 before the first heartbeat.
func (s *Skew) Estimate() time.Duration {
	if s.n == 0 {
		return 0
	}
	return slices.Max(s.ahead[:min(s.n, skewBeats)])
}

// Disagree reports whether the clocks differ by more than MaxSkew.
func (s *Skew) Disagree() bool { return s.disagree }

// noteTime takes in the wall time of a peer's heartbeat, in microseconds.
func (l *Links) noteTime(p *peer, micros uint64) {
	ahead := time.UnixMicro(int64(micros)).Sub(l.o.Wall().Round(0))
	l.mu.Lock()
	changed := p.skew.Beat(ahead)
	disagree, estimate := p.skew.Disagree(), p.skew.Estimate()
	l.mu.Unlock()
	switch {
	case !changed:
	case disagree:
		l.o.Log.Warn("the wall clocks disagree: nothing is removed by age until they agree again; set the one that is wrong",
			"peer", p.name, "peer_ahead", estimate.Round(time.Millisecond), "bound", MaxSkew)
	default:
		l.o.Log.Info("the wall clocks agree again", "peer", p.name, "peer_ahead", estimate.Round(time.Millisecond))
	}
}

// ClocksDisagree reports whether the wall clock of a peer differs from ours by more than
// MaxSkew, or did when it was linked last. One that was given up does not count.
func (l *Links) ClocksDisagree() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.skew.Disagree() && (p.conn != nil || p.outbound() && !p.givenUp) {
			return !mut.On(mut.R2TrimsInDoubt)
		}
	}
	return false
}
