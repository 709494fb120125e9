package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-mq/holdfast/server"
)

// orderTimeout bounds the wait for an instance's answer.
const orderTimeout = 30 * time.Second

// lost has a running instance declare messages lost, or end that.
func lost(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("holdfastd lost", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "%s\n\n", usage)
		flags.PrintDefaults()
	}
	config := flags.String("config", "", "YAML `file` that describes the running instance")
	end := flags.Bool("end", false, "end the decree that stands")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitStopped
	case err != nil:
		return exitUsage
	case *config == "":
		fmt.Fprintln(stderr, "holdfastd: -config is missing: name the YAML file of the instance")
		return exitUsage
	case *end && flags.NArg() > 0:
		fmt.Fprintln(stderr, "holdfastd: -end takes no names")
		return exitUsage
	}
	cfg, err := server.LoadConfig(*config)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
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
		return exitFailed
	}
	fmt.Fprintln(stdout, answer)
	return exitStopped
}
