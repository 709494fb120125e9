// Command transaction shows an application that consumes, changes its own data and
// publishes in one transaction of its database: it takes orders, keeps an
// account for each customer, and publishes an invoice for each order (handle.go). A pair
// of real servers runs, shops publish, and the application is killed (kill -9) at
// every step of its work, with the servers killed in between. It prints what
// happened and, from both journals and the application's database, whether
// anything was lost, done twice, out of order or wrongly booked. It exits 0 only
// if nothing was and everything that was to die did.
package transaction

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
	keep   bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == asApp {
		if err := beTheApp(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "how often the application dies at each of its steps")
	flag.IntVar(&o.kills, "kills", 15, "how often a server, or both, is killed")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "draws when what dies; random if not given")
	flag.BoolVar(&o.keep, "keep", false, "keep the directory with database, stores, journals and logs")
	flag.Parse()
	if err := o.check(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "transaction:", err)
		os.Exit(2)
	}
	well, err := try(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "transaction:", err)
		os.Exit(1)
	}
	if !well {
		fmt.Println("NOT WELL")
		os.Exit(1)
	}
	fmt.Println("all is well")
}

func (o options) check(args []string) error {
	switch most := o.rounds * lives; {
	case len(args) > 0:
		return fmt.Errorf("argument %q: there are only flags, see -help", args[0])
	case o.rounds < 1:
		return fmt.Errorf("-rounds is %d, it must be at least 1", o.rounds)
	case o.kills < 0 || o.kills > most:
		return fmt.Errorf("-kills is %d, it must be 0 to %d (%d for each round)", o.kills, most, lives)
	}
	return nil
}

// try makes a directory, builds the server and runs the demonstration in it.
func try(o options) (well bool, err error) {
	dir, err := os.MkdirTemp("", "holdfast-transaction-")
	if err != nil {
		return false, err
	}
	defer func() {
		if o.keep || !well || err != nil {
			fmt.Println("database, stores, journals and logs are in", dir)
			return
		}
		os.RemoveAll(dir)
	}()
	fmt.Printf("seed %d; building holdfastd\n", o.seed)
	binary, err := pair.Build(dir)
	if err != nil {
		return false, err
	}
	episodes := schedule(rand.New(rand.NewPCG(o.seed, 0)), o.rounds, o.kills)
	rep, err := play(context.Background(), dir, binary, o.seed, episodes)
	if err != nil {
		return false, err
	}
	return rep.print(os.Stdout), nil
}

// play runs the demonstration with the given episodes.
func play(ctx context.Context, dir, binary string, seed uint64, episodes []episode) (rep report, err error) {
	// Far beyond what a run takes: only so that none hangs for ever.
	limit := 2*time.Minute + time.Duration(len(episodes))*10*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	r, err := newTrialRun(ctx, dir, binary)
	if err != nil {
		return rep, err
	}
	defer r.close()
	if err := r.execute(ctx, seed, episodes); err != nil {
		return rep, err
	}
	if rep, err = r.settle(ctx); err != nil {
		return rep, err
	}
	rep.wantedDeaths = len(episodes)
	for _, e := range episodes {
		if len(e.strike.victims) > 0 {
			rep.wantedStrikes++
		}
	}
	return rep, nil
}
