// Package breakit is the command that lets its user break a pair
// (examples/breakit): the pair with its traffic, the keys, the screen and the verdict.
package breakit

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
	auto     bool
	seed     uint64
	duration time.Duration
	rate     int
	keep     bool
	binary   string
}

// Main is the command; it returns the exit code.
func Main(args []string) int {
	var o options
	flags := flag.NewFlagSet("breakit", flag.ExitOnError)
	flags.BoolVar(&o.auto, "auto", false, "press random keys, without a terminal")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "seed of the keys of -auto; random if not given")
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long -auto presses keys")
	flags.IntVar(&o.rate, "rate", 50, "messages a second that each publisher publishes")
	flags.BoolVar(&o.keep, "keep", false, "keep the directory with stores, journals, logs and histories")
	flags.StringVar(&o.binary, "binary", "", "`file` of the holdfastd to break; built from this checkout if not given")
	flags.Parse(args)
	if flags.NArg() > 0 || o.rate < 1 || o.rate > 10000 || o.duration <= 0 {
		fmt.Fprintln(os.Stderr, "breakit: -rate must be 1 to 10000, -duration above 0, and there are no arguments")
		return 2
	}
	if !o.auto && !isTerminal() {
		fmt.Fprintln(os.Stderr, "breakit: standard output is not a terminal: use -auto, which needs none")
		return 2
	}
	return rig.Rig{Name: "breakit", Keep: o.keep, Binary: o.binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		if o.auto {
			return playAuto(ctx, o, dir, []string{binary})
		}
		return play(ctx, o, dir, []string{binary})
	})
}

// saveAndPrint saves the histories and prints the verdict.
func saveAndPrint(r *report, dir string) (passed bool, err error) {
	if err := r.save(dir); err != nil {
		return false, err
	}
	r.write(os.Stdout)
	return r.clean(), nil
}
