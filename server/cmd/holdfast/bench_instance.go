package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/metrics"
)

// benchInstance is "bench instance": one instance of the pair that a bench process
// starts.
type benchInstance struct {
	Config string `required:"" help:"YAML file that describes the instance."`
}

// Run implements the command. The instance ends on SIGTERM. It also ends when its
// standard input does, which happens when the bench process ends in any way. It
// ignores interrupts: the bench process handles these.
func (c *benchInstance) Run(o *output) error {
	signal.Ignore(os.Interrupt)
	end, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	cfg, err := server.LoadConfig(c.Config)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	cfg.Logger = slog.New(slog.NewTextHandler(o.err, nil))
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	s.HandleAdmin("/metrics", metrics.Handler(s)) // as holdfastd does
	for ready := s.Ready(); ; {
		select {
		case <-ready:
			o.printf("ready name=%s clients=%s\n", cfg.Name, s.Addr())
			ready = nil
		case <-s.Done():
			return s.Err()
		case <-end.Done():
			return s.Close()
		}
	}
}
