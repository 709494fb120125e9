package cluster_test

import (
	"flag"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

var (
	every      = flag.Int("every", 0, "cuts and single faults: one in so many is run, 1 is all; 0: a few seconds' worth")
	pairsTime  = flag.Duration("pairs-time", time.Second, "how long pairs of faults are run")
	pairsFrom  = flag.String("pairs-from", "0", "the number of the first pair, or the hash of a commit that chooses it")
	onlyCut    = flag.String("cut", "", "run this cut only")
	onlyFaults = flag.String("faults", "", "run the story with these faults only")
	stop       = flag.Int("stop", 5, "so many violations end a test of small systems")
)

// A connection that is cut after any byte of a session loses nothing, repeats
// nothing and changes no order: that of a client, one without our extensions,
// and the link.
func TestCutAtEveryByte(t *testing.T) {
	cluster.Cuts(t, cluster.Options{Every: everyOr(97), MaxViolations: *stop, Only: *onlyCut})
}

// However little of a frame a read returns.
func TestReadsOfAFewBytes(t *testing.T) {
	cluster.Chunks(t, 20)
}

// telling are faults of which each found something that hardly any other does,
// in the product or as a planted bug.
var knownFinds = []string{
	// A watermark that outlives its connection (R2).
	"40:wipe a",
	// A progress mark that passes queued messages (R9).
	"46:kill the subscriber",
	// Holes and gaps let through: a publisher goes on at an instance that lacks messages
	// that were let go (R1, R4).
	"18:wipe a; 24:long cut of the link",
	// Records that a former life had left on one disk were never offered again, as
	// nothing was published any more (R10).
	"21:fsync error at a; 49:power cut of the publisher, durable",
	"42:power cut inside a write of a; 48:power cut of the publisher, durable",
}

// A story with one fault at any of its steps ends well.
func TestSingleFaults(t *testing.T) {
	if *onlyFaults == "" {
		for _, faults := range knownFinds {
			cluster.Singles(t, cluster.Options{Only: faults})
		}
	}
	cluster.Singles(t, cluster.Options{Every: everyOr(13), MaxViolations: *stop, Only: *onlyFaults})
}

// A story with any two faults ends well.
func TestPairsOfFaults(t *testing.T) {
	cluster.Pairs(t, cluster.Options{Duration: *pairsTime, From: *pairsFrom, MaxViolations: *stop})
}

func everyOr(n int) int {
	if *every > 0 {
		return *every
	}
	return n
}
