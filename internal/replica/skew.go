package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// MaxSkew is the largest difference between the wall clocks of two instances that counts as
// agreement. A heartbeat that is delayed for longer loses its link in most configurations.
const MaxSkew = 5 * time.Second

// skewSamples is the number of heartbeats from which a skew is estimated.
const skewSamples = 8

// A Skew estimates how far a peer's wall clock is ahead of ours, from the times in its heartbeats.
// A slow heartbeat makes the peer seem less far ahead, so the largest of the last few values
// counts.
type Skew struct {
	ahead    [skewSamples]time.Duration
	n        int // heartbeats so far
	disagree bool
}

// Add adds the difference between the time in a heartbeat and our clock at its arrival. It reports
// whether the clocks have begun or ceased to disagree.
func (s *Skew) Add(ahead time.Duration) (changed bool) {
	s.ahead[s.n%skewSamples] = ahead
	s.n++
	bound := MaxSkew
	if s.disagree {
		bound /= 2 // a skew near the bound must not toggle
	}
	was := s.disagree
	s.disagree = s.Estimate().Abs() > bound
	return s.disagree != was
}

// Estimate returns how far the peer's clock is ahead, 0 before the first heartbeat.
func (s *Skew) Estimate() time.Duration {
	if s.n == 0 {
		return 0
	}
	return slices.Max(s.ahead[:min(s.n, skewSamples)])
}

// Disagree reports whether the clocks differ by more than MaxSkew.
func (s *Skew) Disagree() bool { return s.disagree }

// noteWallClock handles the wall time in a peer's heartbeat, in microseconds.
func (l *Links) noteWallClock(p *peer, micros uint64) {
	ahead := time.UnixMicro(int64(micros)).Sub(l.o.Wall().Round(0))
	l.mu.Lock()
	changed := p.skew.Add(ahead)
	disagree, estimate := p.skew.Disagree(), p.skew.Estimate()
	l.mu.Unlock()
	switch {
	case !changed:
	case disagree:
		l.o.Log.Warn("the wall clocks disagree: nothing is removed by age until they agree again; set the one that is wrong",
			"peer", p.name, "skew", estimate.Round(time.Millisecond), "limit", MaxSkew)
	default:
		l.o.Log.Info("the wall clocks agree again", "peer", p.name, "skew", estimate.Round(time.Millisecond))
	}
}

// ClocksDisagree reports whether the wall clock of a peer differs from ours by more than MaxSkew,
// or did when the peer was last linked. A destination that was given up does not count.
func (l *Links) ClocksDisagree() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		if p.skew.Disagree() && (p.conn != nil || p.outbound() && !p.givenUp) {
			return !failpoint.On(failpoint.R2TrimsInDoubt)
		}
	}
	return false
}
