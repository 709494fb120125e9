package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// An endError tells in plain words why a connection has ended.
type endError struct {
	text   string
	causes []error // for errors.Is
}

func (e *endError) Error() string { return e.text }

func (e *endError) Unwrap() []error { return e.causes }

// asHungUp adds ErrHungUp to err if the server has closed the connection.
func asHungUp(err error) error {
	for _, e := range []struct {
		is   error
		text string
	}{
		{io.ErrUnexpectedEOF, " in the middle of a frame"},
		{io.EOF, ""},
		{syscall.ECONNRESET, ": connection reset"},
		{syscall.EPIPE, ": connection reset"},
	} {
		if errors.Is(err, e.is) {
			return &endError{clientcore.ErrHungUp.Error() + " and gave no reason" + e.text, []error{clientcore.ErrHungUp, err}}
		}
	}
	return err
}

// asStopping adds ErrServerStopping to the end of a connection that its server has announced.
func asStopping(err error) error {
	if errors.Is(err, clientcore.ErrHungUp) {
		return &endError{ErrServerStopping.Error(), []error{ErrServerStopping, err}}
	}
	return fmt.Errorf("%w: %w", ErrServerStopping, err)
}

// asTimeout adds ErrTimeout to err if a deadline has passed.
func asTimeout(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// asSilent says how long the server was silent if that is the reason of an error.
func (r *input) asSilent(err error) error {
	if r.idle > 0 && errors.Is(err, ErrTimeout) {
		return &endError{fmt.Sprintf("nothing has come from the server for %v", r.idle), []error{err}}
	}
	return err
}
