// Package transaction is the rig of examples/transaction: it starts a pair of servers and
// shops that publish orders, kills the example's application at every step of its work,
// and judges the outcome of the orders. It knows the application by its messages in the
// journals, and by [App].
package transaction

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/child"
	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

// An App is the application that is killed.
type App struct {
	// Handler returns the function that processes an order: it changes the accounts,
	// appends the invoice to outbox and discards the order in bookmarks, all in one
	// transaction of db.
	Handler func(db *bbolt.DB, outbox *TrialOutbox, bookmarks *TrialBookmarks) func(*client.Message) error
	// Accounts returns the accounts in the database, by customer, and the
	// number of the last invoice.
	Accounts func(database string) (map[string]Account, uint64, error)
}

// An order is the message that a shop publishes to the topic "orders".
type order struct {
	ID       string `json:"id"`
	Shop     string `json:"shop"`
	Customer string `json:"customer"`
	Amount   int    `json:"amount"`
}

// An invoice is the message that the application publishes to the topic "invoices".
type invoice struct {
	Number  uint64  `json:"number"`
	Order   string  `json:"order"`
	Account Account `json:"account"`
}

// An Account is the application's state of one customer.
type Account struct {
	Orders int `json:"orders"`
	Total  int `json:"total"`
}

// applicationArgument is the first argument of the process that is the application; its
// death, the database and the servers follow.
const applicationArgument = "application"

// RunChild has this process be the application, if the arguments say so, and does
// not return then. The application ends in order when its standard input does.
func (a App) RunChild(args []string) {
	if len(args) == 0 || args[0] != applicationArgument {
		return
	}
	if err := a.serve(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (a App) serve(args []string) error {
	flags := flag.NewFlagSet(applicationArgument, flag.ContinueOnError)
	text := flags.String("die", "", "step:passage:percent at which the process kills itself")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d, err := parseDeath(*text)
	if err != nil {
		return err
	}
	return a.handleOrders(child.Context(), flags.Arg(0), flags.Args()[1:], &trial{death: d})
}

// options are the command's flags.
type options struct {
	rounds int
	kills  int
	seed   uint64
	keep   bool
}

// Main is the command; it returns the exit code.
func Main(args []string, a App) int {
	a.RunChild(args)
	var o options
	flags := flag.NewFlagSet("transaction", flag.ExitOnError)
	flags.IntVar(&o.rounds, "rounds", 3, "how often the application dies at each of its steps")
	flags.IntVar(&o.kills, "kills", 15, "how often a server, or both, is killed")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "seed of the deaths; random if not given")
	flags.BoolVar(&o.keep, "keep", false, "keep the directory with database, stores, journals and logs")
	flags.Parse(args)
	if err := o.check(flags.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "transaction:", err)
		return 2
	}
	fmt.Printf("seed %d\n", o.seed)
	return rig.Rig{Name: "transaction", Keep: o.keep}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		episodes := schedule(rand.New(rand.NewPCG(o.seed, 0)), o.rounds, o.kills)
		passed, err := a.play(ctx, dir, []string{binary}, o.seed, episodes, os.Stdout)
		if passed {
			fmt.Println("all is well")
		}
		return passed, err
	})
}

func (o options) check(args []string) error {
	switch most := o.rounds * deathsPerRound; {
	case len(args) > 0:
		return fmt.Errorf("argument %q: there are only flags, see -help", args[0])
	case o.rounds < 1:
		return fmt.Errorf("-rounds %d is below the minimum 1", o.rounds)
	case o.kills < 0 || o.kills > most:
		return fmt.Errorf("-kills %d is outside the range 0 to %d (%d for each round)", o.kills, most, deathsPerRound)
	}
	return nil
}

// EveryStep is for a test, whose own program is the application: that dies at
// every step, and before it lives again no instance dies, or one, or the other,
// or both; short: a quarter of it. It writes the verdict to w.
func (a App) EveryStep(ctx context.Context, dir string, short bool, w io.Writer) (passed bool, err error) {
	const seed = 1
	rnd := rand.New(rand.NewPCG(seed, 0))
	var episodes []episode
	for i, s := range steps {
		for k, victims := range [][]int{nil, {0}, {1}, {0, 1}} {
			if short && k != i%4 {
				continue
			}
			d := drawDeath(rnd, s)
			d.occurrence = min(d.occurrence, 3)
			episodes = append(episodes, episode{death: d, outage: outage{victims: victims, downtime: 50 * time.Millisecond}})
		}
	}
	binary, err := pair.Build(ctx, dir)
	if err != nil {
		return false, err
	}
	return a.play(ctx, dir, []string{binary}, seed, episodes, w)
}

// play runs the demonstration with the given episodes; command runs an instance.
func (a App) play(ctx context.Context, dir string, command []string, seed uint64, episodes []episode, w io.Writer) (passed bool, err error) {
	// The limit is far beyond the time of a run, so that none hangs for ever.
	limit := 2*time.Minute + time.Duration(len(episodes))*10*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
	defer cancel()
	r := newTrialRun(dir, a)
	defer r.close()
	defer cancel() // before close, which waits for goroutines with this context
	if err := r.start(ctx, dir, command); err != nil {
		return false, err
	}
	if err := r.execute(ctx, seed, episodes); err != nil {
		return false, err
	}
	rep, err := r.finish(ctx)
	if err != nil {
		return false, err
	}
	rep.plannedDeaths = len(episodes)
	for _, e := range episodes {
		if len(e.outage.victims) > 0 {
			rep.plannedOutages++
		}
	}
	return rep.print(w), nil
}
