package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/dial"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// version is the client version that is sent at logon.
const version = "0.1.0:holdfast"

// connect dials a server and logs on. The caller must call close on the returned connection.
func (c *Client) connect(ch Choice) (*conn, error) {
	u, err := parseURI(ch.Server)
	if err != nil {
		return nil, err
	}
	nc, err := c.dial(u, ch.TLSName)
	if err != nil {
		return nil, err // the error of package net names the operation
	}
	cn := newConn(c, c.core, nc)
	stop := context.AfterFunc(c.ctx, func() { nc.Close() })
	defer stop()
	if err := cn.logon(u, ch); err != nil {
		return nil, cn.close(withOperation("log on", withTLSHint(asHungUp(err))))
	}
	return cn, nil
}

func (c *Client) dial(u *uri, tlsName string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.DialTimeout)
	defer cancel()
	nc, err := c.dialRaw(ctx, u)
	if err != nil {
		return nil, err
	}
	if err := u.tune(nc); err != nil {
		nc.Close()
		return nil, err
	}
	if !u.tls {
		return nc, nil
	}
	return c.secure(ctx, nc, u, tlsName)
}

// dialRaw opens a connection, without the TLS of tcps.
func (c *Client) dialRaw(ctx context.Context, u *uri) (net.Conn, error) {
	if err := c.cfg.checkTLS(u); err != nil && !failpoint.On(failpoint.TLSOptional) {
		return nil, err
	}
	if c.cfg.Dial != nil {
		return c.cfg.Dial(ctx, u.network, u.address)
	}
	d := new(net.Dialer)
	if u.bind != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(u.bind)}
	}
	return dial.Host(ctx, u.network, u.address, d.DialContext)
}

func (c *Client) secure(ctx context.Context, nc net.Conn, u *uri, name string) (net.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cfg.TLS != nil {
		cfg = c.cfg.TLS.Clone()
	}
	cfg.ServerName = cmp.Or(cfg.ServerName, name, u.host)
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, handshakeError(err)
	}
	return tc, nil
}

// tune sets the socket options of the URI.
func (u *uri) tune(nc net.Conn) error {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	var errs []error
	if u.noDelay != nil {
		errs = append(errs, tc.SetNoDelay(*u.noDelay))
	}
	if u.sendBuffer > 0 {
		errs = append(errs, tc.SetWriteBuffer(u.sendBuffer))
	}
	if u.receiveBuffer > 0 {
		errs = append(errs, tc.SetReadBuffer(u.receiveBuffer))
	}
	return errors.Join(errs...)
}

// logon logs on and handles the answer. The connection's goroutines do not run yet.
func (cn *conn) logon(u *uri, ch Choice) error {
	c := cn.c
	counter, err := c.store.Logon(c.name)
	if err != nil {
		return err
	}
	cluster, seen := c.store.Group()
	c.core.logon(c.name, cmp.Or(u.messageType, c.cfg.MessageType), counter, cluster, seen, u.plain)
	var m wire.Message
	if err := cn.authenticate(u, &m); err != nil {
		return err
	}
	cn.server = withCore(c.core, (*clientcore.Session).Server)
	cn.info = serverInfo(&cn.server)
	if err := c.group.check(&m); err != nil {
		return err
	}
	if err := c.acceptable(cn, ch); err != nil {
		return err
	}
	if err := cn.beginPublishing(&m); err != nil {
		return err
	}
	return c.noteGroup(&m, withCore(c.core, (*clientcore.Session).Former))
}

// authenticate sends the logon, and again for each challenge, until the server accepts or refuses
// it. m is set to the accepting ack.
func (cn *conn) authenticate(u *uri, m *wire.Message) error {
	if err := cn.nc.SetDeadline(time.Now().Add(cn.c.cfg.LogonTimeout)); err != nil {
		return err
	}
	conversation := cn.c.beginConversation(u)
	challenge := Challenge{Server: u.String(), TLS: tlsState(cn.nc)}
	for first := true; ; first = false {
		user, password, err := cn.c.answer(conversation, challenge)
		if err != nil {
			return err
		}
		if first {
			cn.c.warnOfClearText(u, cn.nc, password)
		}
		cmd := cn.core.Credentials(user, password)
		if conversation.Trusted() != nil && !failpoint.On(failpoint.AuthTellsLife) {
			cmd.Ext = false // the life of the store is a secret
		}
		if _, err := cn.nc.Write(cmd.AppendTo(nil)); err != nil {
			return asTimeout(err)
		}
		accepted, err := cn.logonAck(m, conversation)
		switch {
		case err != nil:
			return err
		case accepted:
			return cn.nc.SetDeadline(time.Time{})
		}
		challenge.User, challenge.Text = string(m.UserID), string(m.Password)
	}
}

// logonAck reads frames up to the answer to the logon. Rejections may come before it (R14).
func (cn *conn) logonAck(m *wire.Message, conversation Conversation) (accepted bool, err error) {
	for first := true; ; first = false {
		if err := cn.in.next(m); err != nil {
			if first {
				err = withPortHint(err)
			}
			return false, err
		}
		if m.Command != wire.Ack {
			continue
		}
		if err := checkTrust(m, conversation); err != nil {
			return false, err
		}
		e, err := cn.handleSessionAck(m)
		if err != nil || e.Kind == clientcore.EventAccepted || e.Kind == clientcore.EventChallenged {
			return e.Kind == clientcore.EventAccepted, err
		}
	}
}

// checkTrust returns an error if an ack ends the logon because the server has not proven itself. The
// reason of its refusal may be false, so it causes nothing but another attempt: the publish store
// must not let go of a message, or begin a new life, on the word of a stranger.
func checkTrust(m *wire.Message, conversation Conversation) error {
	err := conversation.Trusted()
	challenge := string(m.CommandID) == clientcore.LogonID && len(m.Status) > 0 && string(m.Status) != wire.StatusSuccess
	switch {
	case err == nil:
		return nil
	case m.Failed() && m.Acks&wire.AckPersisted == 0:
		return &CommandError{Command: "logon", Reason: string(m.Reason)}
	case challenge && m.Acks == wire.AckProcessed:
		return nil
	}
	return err
}

// beginPublishing handles the part of the logon ack that concerns the publisher.
func (cn *conn) beginPublishing(m *wire.Message) error {
	c := cn.c
	limit, fromServer := int64(c.cfg.MaxMessage), m.Max > 0 && m.IsExt()
	if fromServer {
		limit = int64(min(m.Max, maxMessage))
	}
	c.maxMessage.Store(limit)
	c.maxFromServer.Store(fromServer)
	c.plainServer.Store(!m.IsExt())
	var b clientcore.LogonEffect
	var err error
	c.core.do(func(s *clientcore.Session) { b, err = s.BeginPublishing(m, time.Now()) })
	if err != nil {
		return err
	}
	cn.publisher = pubstore.PublisherOf(b.Life.ID)
	err = b.ApplyUnknown(c.store, func(r *clientcore.Rejection, m *pubstore.Message) { c.reportRejection(r, m, nil) })
	if err != nil {
		return err
	}
	cn.sender, err = b.Apply(c.store, cn, !m.IsExt())
	c.traceAcked(&clientcore.AckEffect{Life: b.Life.ID, LetGo: b.LetGo})
	if errors.Is(err, ErrStoreRolledBack) {
		err = fmt.Errorf("%w: the server has messages up to %d", err, max(m.Have, m.Sequence))
		c.cfg.Logger.Error("the publish store was rolled back: it begins a new life", "error", err)
		c.stats.change(func(s *Stats) { s.Publish.Rollbacks++ })
		c.reportRenewed(err)
	}
	c.core.wake()
	return err
}

// renewRefusedLife begins a new life of the store, because a server refuses the present one. The
// messages of the present life that the store keeps are offered to the next server.
func (c *Client) renewRefusedLife(err error) {
	c.cfg.Logger.Error("a server refuses the life of the publish store: it begins a new one", "error", err)
	if err := c.store.Renew(); err != nil {
		c.abort(err)
		return
	}
	c.reportRenewed(err)
}

// giveUpLife handles a life that has diverged. It reports all messages of the life that the store
// keeps to the failed-write handler, with an unknown outcome, and lets them go. It runs on the
// session goroutine.
func (c *Client) giveUpLife(effect *clientcore.EndEffect, cause error) {
	err := effect.Apply(c.store, func(r *clientcore.Rejection, m *pubstore.Message) { c.reportRejection(r, m, cause) })
	if err != nil {
		c.abort(err)
	}
	c.core.wake()
}

// reportRenewed reports that a new life has begun because of a server's statement.
func (c *Client) reportRenewed(err error) {
	c.events.post(func() { callHook(c.cfg.Hooks.LifeRenewed, err) })
}

// serverInfo converts the description of a server for the application.
func serverInfo(s *clientcore.Server) ServerInfo {
	return ServerInfo{
		Server:        s.Address,
		Version:       s.Version,
		Extended:      !s.Plain,
		Instance:      s.Instance,
		Peers:         s.Peers,
		Sync:          s.Sync,
		CatchingUp:    s.CatchingUp,
		MaxMessage:    s.MaxMessage,
		Partial:       s.HasCarried,
		CarriedTopics: s.Carried,
	}
}
