package failover

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// A faultKind is a kind of fault.
type faultKind int

const (
	killInstance   faultKind = iota // kill -9, restarted after downtime
	stopInstance                    // SIGSTOP for downtime: half-dead, the socket is open and nothing answers
	killSubscriber                  // kill -9, restarted after downtime
)

// A fault fires when the number of acknowledged messages passes after.
type fault struct {
	kind     faultKind
	after    int
	downtime time.Duration
	// hurried: it doesn't wait until the pair is in sync again, so that both
	// instances may be away. Its gap is listed apart.
	hurried bool
}

// stopTime is how long a stopped instance stays stopped.
const stopTime = 5 * time.Second

// schedule draws the faults of a run from its seed: kills of instances, every
// fifth of them apart, one stop (where there are signals), and one kill of the subscriber.
func schedule(rnd *rand.Rand, kills, messages int) []fault {
	var faults []fault
	for n := 1; n <= kills; n++ {
		downtime := 300*time.Millisecond + time.Duration(rnd.Int64N(int64(2500*time.Millisecond)))
		faults = append(faults, fault{kind: killInstance, downtime: downtime, hurried: n%5 == 0})
	}
	extra := []fault{{kind: killSubscriber, downtime: 500 * time.Millisecond}}
	if pair.HasSignals {
		extra = append(extra, fault{kind: stopInstance, downtime: stopTime})
	}
	for _, f := range extra {
		faults = insert(rnd, faults, f)
	}
	spacing := float64(messages) * 0.9 / float64(len(faults)+1)
	for i := range faults {
		faults[i].after = int(spacing * (float64(i) + 0.3 + 0.5*rnd.Float64()))
		if faults[i].hurried && i > 0 {
			faults[i].after = faults[i-1].after // on the heels of the one before
		}
	}
	return faults
}

// insert puts f at a random place that doesn't part a fault that is apart from the one before it.
func insert(rnd *rand.Rand, faults []fault, f fault) []fault {
	for {
		at := rnd.IntN(len(faults) + 1)
		if at < len(faults) && faults[at].hurried {
			continue
		}
		faults = append(faults, fault{})
		copy(faults[at+1:], faults[at:])
		faults[at] = f
		return faults
	}
}
