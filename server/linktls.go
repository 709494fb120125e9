package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/replica"
)

// linkHandshake is the time for the TLS handshake of a link that a peer dials. The links close such
// a connection after the same time by themselves.
const linkHandshake = 2 * time.Second

// secureLinks puts TLS on the links if they have it.
func (s *Server) secureLinks(o *replica.Options) {
	config := s.cfg.Replication.TLSConfig
	if s.files.links == nil && config == nil {
		return
	}
	o.VerifyPeer, o.Secure = verifyPeer, s.dialTLS
	if o.Listener == nil {
		return
	}
	if s.files.links != nil {
		config = s.files.links.Server(tls.RequireAndVerifyClientCert, tls.VersionTLS13)
	} else {
		config = config.Clone()
		config.ClientAuth, config.MinVersion, config.SessionTicketsDisabled = tls.RequireAndVerifyClientCert, tls.VersionTLS13, true
	}
	o.Listener = &tlsListener{o.Listener, config, s.ctx, make(handshakeSlots, 1)}
}

// dialTLS does the TLS handshake on a connection to the named peer.
func (s *Server) dialTLS(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
	var config *tls.Config
	if s.files.links != nil {
		config = s.files.links.Client(name)
	} else {
		config = s.cfg.Replication.TLSConfig.Clone()
		config.ServerName, config.MinVersion = name, tls.VersionTLS13
	}
	c := &tlsConn{Conn: nc, tls: tls.Client(nc, config)}
	if err := c.tls.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c.phase.Store(tlsOpen)
	return c, nil
}

// verifyPeer checks that the certificate of a link's connection is that of the named peer.
func verifyPeer(nc net.Conn, name string) error {
	if failpoint.On(failpoint.TLSAnyName) {
		return nil
	}
	return certs.CheckName(nc.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState(), name)
}

// A tlsListener accepts the connections of peers. It has its own slots for handshakes, so that
// strangers at the client port do not delay a peer.
type tlsListener struct {
	net.Listener
	config *tls.Config
	ctx    context.Context
	slots  handshakeSlots
}

// Accept does not wait for the handshake, which the first Read does.
func (l *tlsListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &acceptedLink{newTLSConn(nc, l.config, l.slots), l.ctx}, nil
}

// An acceptedLink does the TLS handshake with the first Read. Before that nothing can be written.
type acceptedLink struct {
	*tlsConn
	ctx context.Context
}

func (c *acceptedLink) Read(p []byte) (int, error) {
	if c.phase.Load() == tlsNew {
		deadline := time.Now().Add(linkHandshake)
		if err := c.SetDeadline(deadline); err != nil {
			return 0, err
		}
		if err := c.handshake(c.ctx, deadline); err != nil {
			return 0, err
		}
	}
	return c.tlsConn.Read(p)
}
