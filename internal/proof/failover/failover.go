// Package failover is the command that does holdfast's main job under faults
// (examples/failover): the pair, the publishers, the subscriber and the verdict.
package failover

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

// options are the command's flags.
type options struct {
	rounds int
	kills  int
	seed   uint64
	input  string
	stderr string
	keep   bool
}

// Main is the command; it returns the exit code. It publishes earthquakes if no other
// input is named. The command starts itself as the subscriber.
func Main(args []string, earthquakes []byte) int {
	if len(args) > 1 && args[0] == subscriberArgument {
		fmt.Fprintln(os.Stderr, runSubscriber(args[1], args[2:]))
		return 1
	}
	var o options
	flags := flag.NewFlagSet("failover", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "how often the input is published")
	flags.IntVar(&o.kills, "kills", 5, "how often a server is killed")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "seed of the faults; random if not given")
	flags.StringVar(&o.input, "input", "", "file of JSON lines with \"id\" and \"net\"; a week of earthquakes if not given")
	flags.StringVar(&o.stderr, "stderr", "file", "standard error of the servers: file, unread (a full pipe that is never read) or dead (a pipe without a reader)")
	flags.BoolVar(&o.keep, "keep", false, "keep the directory with stores, journals and logs")
	flags.Parse(args)
	if flags.NArg() > 0 || o.rounds < 1 || o.kills < 0 {
		fmt.Fprintln(os.Stderr, "failover: -rounds must be at least 1, -kills at least 0, and there are no arguments")
		return 2
	}
	if o.stderr != "file" && o.stderr != "unread" && o.stderr != "dead" {
		fmt.Fprintln(os.Stderr, "failover: -stderr must be file, unread or dead")
		return 2
	}
	events, err := readInput(o.input, earthquakes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		return 1
	}
	fmt.Printf("seed %d\n", o.seed)
	return rig.Rig{Name: "failover", Keep: o.keep}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		return execute(ctx, o, events, dir, []string{binary})
	})
}

// execute runs the main job in dir; command runs an instance.
func execute(ctx context.Context, o options, events []event, dir string, command []string) (passed bool, err error) {
	// The limit is far beyond the time of a run, so that none hangs for ever.
	limit := 3*time.Minute + time.Duration(o.kills)*20*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	r := newRun(o, events)
	defer r.close()
	defer cancel() // before close, which waits for goroutines with this context
	if err := r.start(ctx, dir, command); err != nil {
		return false, err
	}
	if err := r.publishUnderFaults(ctx); err != nil {
		return false, err
	}
	report, err := r.finish(ctx)
	if err != nil {
		return false, err
	}
	if passed = report.print(os.Stdout); passed {
		fmt.Println("all is well")
	}
	return passed, nil
}
