// Command failover is holdfast's main job on real input: a pair of real servers,
// a publisher for each seismic network, a subscriber in a process of its own,
// and faults: kill -9 and SIGSTOP of a server, kill -9 of the subscriber. It
// prints the events and checks both journals and the subscriber's database: was
// anything lost, duplicated or out of order? It exits 0 only if
// nothing was and every fault happened.
package main

import (
	_ "embed"
	"os"

	"github.com/holdfast-mq/holdfast/internal/proof/failover"
)

// A week of earthquakes, as published by the seismic networks.
//
//go:embed earthquakes.ndjson
var earthquakes []byte

func main() { os.Exit(failover.Main(os.Args[1:], earthquakes)) }
