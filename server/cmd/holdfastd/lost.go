package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
	"github.com/holdfast-mq/holdfast/server"
)

// controlTimeout limits the wait for the instance's reply.
const controlTimeout = 30 * time.Second

// declareLost asks a running instance to declare a loss, or to end the decree.
func declareLost(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("holdfastd lost", stderr)
	config := flags.String("config", "", "YAML `file` that describes the running instance")
	end := flags.Bool("end", false, "end the current decree")
	names, err := parseMixed(flags, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.OK
	case err != nil:
		return exitcode.Config
	case *config == "":
		fmt.Fprintln(stderr, "holdfastd: -config is missing: name the YAML file of the instance")
		return exitcode.Config
	case *end && len(names) > 0:
		fmt.Fprintln(stderr, "holdfastd: -end takes no names")
		return exitcode.Config
	}
	cfg, err := server.LoadConfig(*config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitcode.Config
	}
	action := server.ControlDeclareLost
	if *end {
		action = server.ControlEndDecree
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	reply, err := server.SendControl(ctx, cfg, action, names...)
	if err != nil {
		fmt.Fprintln(stderr, "holdfastd:", err)
		return exitcode.Failed
	}
	fmt.Fprintln(stdout, reply)
	return exitcode.OK
}
