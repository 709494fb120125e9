// Package instance lets a test's own program be a server, as a process: a pair
// of such is there without a build.
package instance

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-mq/holdfast/server"
)

// argument tells the process that it is an instance.
const argument = "instance-of-a-test"

// Command is the command line of an instance, without "--config" and its file.
func Command() []string { return []string{os.Args[0], argument} }

// Main is for the beginning of TestMain. It does not return in a process that
// is an instance, which ends with SIGTERM or its standard input.
func Main() {
	if len(os.Args) != 4 || os.Args[1] != argument {
		return
	}
	if err := serve(os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(config string) error {
	cfg, err := server.LoadConfig(config)
	if err != nil {
		return err
	}
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	select {
	case <-s.Ready():
		fmt.Println("ready")
	case <-ctx.Done():
	}
	<-ctx.Done()
	return s.Shutdown(context.Background())
}
