package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// expectsTLS is the advice for a client without TLS at a port with TLS.
const expectsTLS = "the server expects TLS on this port: use a tcps URI"

// withPortHint adds a hint to err if the first frame from a server does not belong to the protocol.
func withPortHint(err error) error {
	var tooLarge *wire.TooLargeError
	var header *wire.HeaderError
	switch {
	case errors.As(err, &tooLarge) && tooLarge.Size>>16 == tlsAlert:
		return fmt.Errorf("%w: the first bytes are a TLS alert; %s", ErrProtocol, expectsTLS)
	case errors.As(err, &tooLarge), errors.As(err, &header):
		return fmt.Errorf("%w; is it a client port?", err)
	}
	return err
}

// tlsAlert is the first two bytes of a TLS alert: its type, and the major version.
const tlsAlert = 0x1503

// withTLSHint adds advice to the refusal of a server that expects TLS.
func withTLSHint(err error) error {
	if refused, ok := errors.AsType[*CommandError](err); ok && strings.HasPrefix(refused.Reason, wire.ReasonTLSRequired) {
		return fmt.Errorf("%w: %s", err, expectsTLS)
	}
	return err
}

// handshakeError describes a failed TLS handshake, with advice if the server seems not to use TLS.
func handshakeError(err error) error {
	_, foreign := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case foreign:
		return fmt.Errorf("TLS handshake: %w; the server does not use TLS on this port: use a tcp URI, or the port that has TLS", err)
	case errors.Is(asHungUp(err), clientcore.ErrHungUp):
		return fmt.Errorf("TLS handshake: %w; the server closed the connection: check that it uses TLS on this port", err)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}
