package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A layered connection acts on plain text. It has the server put TLS under it. Connections that
// servertest accepts are layered.
type layered interface {
	// Over puts a layer under the connection.
	Over(layer func(net.Conn) net.Conn)
}

// withTLS puts the TLS of the client port on a connection. The result is nil if the port has none.
func (s *Server) withTLS(conn net.Conn) (net.Conn, *tlsConn) {
	config := s.files.clientTLS
	if config == nil {
		return conn, nil
	}
	var secure *tlsConn
	layer := func(nc net.Conn) net.Conn {
		secure = newTLSConn(nc, config, s.handshakes)
		return secure
	}
	if l, ok := conn.(layered); ok {
		l.Over(layer)
		return conn, secure
	}
	return layer(conn), secure
}

// handshake does the TLS handshake if the port has TLS. It is part of the logon: the time limit of
// the logon includes it.
func (s *session) handshake() error {
	if s.tls == nil {
		return nil
	}
	deadline := s.logonDeadline()
	if failpoint.On(failpoint.TLSSlowHandshake) {
		deadline = time.Now().Add(time.Hour)
	}
	if err := s.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if s.core.State() != servercore.StateOpen { // a later change of the state sets a deadline in the past
		return servercore.ErrEnding
	}
	err := s.tls.handshake(s.ctx, deadline)
	switch {
	case errors.Is(err, errNoTLS) && failpoint.On(failpoint.TLSPlainServed):
		return nil
	case errors.Is(err, errNoTLS):
		return s.refusePlain()
	case err != nil && s.core.State() != servercore.StateOpen:
		return servercore.ErrEnding
	}
	return err
}

// refusePlain answers the logon of a client that does not use TLS, and executes nothing. The name
// and the password of that logon have crossed the network in plain text.
func (s *session) refusePlain() error {
	frame, err := wire.NewReader(s.conn, maxLogon).Next()
	if err == nil {
		err = wire.Parse(frame, &s.msg)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", wire.ReasonTLSRequired, err)
	}
	s.srv.refusals.add(wire.ReasonTLSRequired)
	return s.core.Refuse(&s.msg, wire.ReasonTLSRequired)
}

// tlsState returns the result of the TLS handshake, nil if the client does not use TLS or the
// handshake has not ended. It is safe for concurrent use.
func (s *session) tlsState() *tls.ConnectionState {
	if s.tls == nil || s.tls.phase.Load() != tlsOpen {
		return nil
	}
	state := s.tls.ConnectionState()
	return &state
}

// tlsVersion returns the version of TLS that the client uses, empty if it uses none.
func (s *session) tlsVersion() string {
	if state := s.tlsState(); state != nil {
		return tls.VersionName(state.Version)
	}
	return ""
}

// errTLSClient reports that a client begins with a TLS handshake at a port without TLS.
var errTLSClient = errors.New("a TLS client on a port without TLS: use tcp:// or configure clients.tls")

// noLogon explains an error of reading the logon.
func noLogon(err error) error {
	if large, ok := errors.AsType[*wire.TooLargeError](err); ok && large.Size>>16 == recordHandshake<<8|3 {
		return errTLSClient
	}
	return fmt.Errorf("no logon: %w", err)
}

// sendAlert answers a TLS handshake with the alert handshake_failure, so that the TLS of the client
// reports an error of the server and not of the network. The writer has ended.
func (s *session) sendAlert() {
	alert := []byte{0x15, 3, 1, 0, 2, 2, 40} // a record of version 1.0 with 2 bytes: fatal, handshake_failure
	write := func(nc net.Conn) net.Conn {
		if nc.SetWriteDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = nc.Write(alert) // the client may be gone
		}
		return nc
	}
	if l, ok := s.conn.(layered); ok {
		l.Over(write)
		return
	}
	write(s.conn)
}
