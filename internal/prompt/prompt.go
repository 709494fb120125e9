// Package prompt asks for secrets on a terminal.
package prompt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// Secret writes a question to out and reads a line from a terminal, which does not show it. The end of
// the input is an empty line. If SIGINT or SIGTERM comes meanwhile, the terminal shows its input again,
// and the process ends with the exit code. An error is one of the terminal.
func Secret(tty *os.File, out io.Writer, question string, code int) (string, error) {
	end, err := restoreAtSignal(tty, out, code)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer end()
	fmt.Fprint(out, question)
	text, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(out)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(text), nil
}

// restoreAtSignal has a signal end the process with the terminal as it is now, until end is called.
func restoreAtSignal(tty *os.File, out io.Writer, code int) (end func(), err error) {
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	keep := context.AfterFunc(ctx, func() {
		_ = term.Restore(int(tty.Fd()), state)
		fmt.Fprintln(out)
		os.Exit(code)
	})
	return func() {
		keep()
		stop()
	}, nil
}
