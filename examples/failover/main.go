// Command failover is holdfast's main job on real input: a pair of real servers,
// a publisher for each seismic network, a subscriber in a process of its own,
// and faults: kill -9 and SIGSTOP of a server, kill -9 of the subscriber. It
// prints what happened and, from both journals and the subscriber's database,
// whether anything was lost, duplicated or out of order. It exits 0 only if
// nothing was and every fault happened.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// options are the command's flags.
type options struct {
	rounds int
	kills  int
	seed   uint64
	input  string
	keep   bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == asSubscriber {
		if err := subscribeForEver(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often the input is published")
	flag.IntVar(&o.kills, "kills", 5, "how often a server is killed")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "draws the faults; random if not given")
	flag.StringVar(&o.input, "input", "", "file of JSON lines with \"id\" and \"net\"; a week of earthquakes if not given")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory with stores, journals and logs")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.kills < 0 {
		fmt.Fprintln(os.Stderr, "failover: rounds must be at least 1, kills at least 0, and there are no arguments")
		os.Exit(2)
	}
	well, err := execute(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
	if !well {
		fmt.Println("NOT WELL")
		os.Exit(1)
	}
	fmt.Println("all is well")
}

// execute makes a directory, builds the server and runs the main job in it.
func execute(o options) (well bool, err error) {
	events, err := readInput(o.input)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "holdfast-failover-")
	if err != nil {
		return false, err
	}
	defer func() {
		if o.keep || !well || err != nil {
			fmt.Println("stores, journals and logs are in", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	fmt.Printf("seed %d; building holdfastd\n", o.seed)
	binary, err := pair.Build(dir)
	if err != nil {
		return false, err
	}
	// Far beyond what a run takes: only so that none hangs for ever.
	limit := 3*time.Minute + time.Duration(o.kills)*20*time.Second
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	r, err := newRun(ctx, o, events, dir, binary)
	if err != nil {
		return false, err
	}
	defer r.close()
	if err := r.publishUnderFaults(ctx); err != nil {
		return false, err
	}
	report, err := r.settle(ctx)
	if err != nil {
		return false, err
	}
	return report.print(os.Stdout), nil
}
