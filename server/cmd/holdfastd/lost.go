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

// orderTimeout limits the wait for the instance's answer.
const orderTimeout = 30 * time.Second

// lost sends a running instance the order to declare a loss, or to end the decree.
func lost(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("holdfastd lost", stderr)
	config := flags.String("config", "", "YAML `file` that describes the running instance")
	end := flags.Bool("end", false, "end the decree that stands")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitcode.Stopped
	case err != nil:
		return exitcode.Config
	case *config == "":
		fmt.Fprintln(stderr, "holdfastd: -config is missing: name the YAML file of the instance")
		return exitcode.Config
	case *end && flags.NArg() > 0:
		fmt.Fprintln(stderr, "holdfastd: -end takes no names")
		return exitcode.Config
	}
	cfg, err := server.LoadConfig(*config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitcode.Config
	}
	do := server.OrderLost
	if *end {
		do = server.OrderEndLost
	}
	ctx, cancel := context.WithTimeout(context.Background(), orderTimeout)
	defer cancel()
	answer, err := server.SendOrder(ctx, cfg, do, flags.Args()...)
	if err != nil {
		fmt.Fprintln(stderr, "holdfastd:", err)
		return exitcode.Failed
	}
	fmt.Fprintln(stdout, answer)
	return exitcode.Stopped
}
