package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// version is what a client says of itself at logon.
const version = "0.1.0:holdfast"

// maxChallenges is how often a server may ask again in one logon.
const maxChallenges = 3

// errAgain has the session connect to the same server again, at once.
var errAgain = errors.New("server has no extensions: connect again with its options")

// connect dials a server and logs on under a life of the store.
func (c *Client) connect(ch Choice, l pubstore.Life, old bool) (*conn, clientcore.Beginning, error) {
	u, err := parseURI(ch.Server)
	if err != nil {
		return nil, clientcore.Beginning{}, err
	}
	nc, err := c.dial(u, ch.TLSName)
	if err != nil {
		return nil, clientcore.Beginning{}, err // net says that it was dialing
	}
	cn := newConn(c, u.String(), nc)
	cn.choice = ch
	cn.life = l
	cn.old.Store(old)
	stop := context.AfterFunc(c.ctx, func() { nc.Close() })
	defer stop()

	b, err := cn.logon(u)
	if err != nil {
		return nil, b, cn.close(doing("log on", err))
	}
	return cn, b, nil
}

func (c *Client) dial(u *uri, tlsName string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.DialTimeout)
	defer cancel()
	nc, err := c.probe(ctx, u)
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

// probe makes a bare connection.
func (c *Client) probe(ctx context.Context, u *uri) (net.Conn, error) {
	dial := c.cfg.Dial
	if dial == nil {
		dial = u.dialer().DialContext
	}
	return dial(ctx, u.network, u.address)
}

func (c *Client) secure(ctx context.Context, nc net.Conn, u *uri, name string) (net.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.cfg.TLS != nil {
		cfg = c.cfg.TLS.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.host
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

func (u *uri) dialer() *net.Dialer {
	d := new(net.Dialer)
	if u.bind != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(u.bind)}
	}
	return d
}

// tune sets the socket options that the URI asks for.
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

// logon logs on and takes in the answer. The connection's goroutines do not
// run yet.
func (cn *conn) logon(u *uri) (clientcore.Beginning, error) {
	c := cn.c
	counter, err := c.store.Logon(c.name)
	if err != nil {
		return clientcore.Beginning{}, err
	}
	if err := cn.nc.SetDeadline(time.Now().Add(c.cfg.LogonTimeout)); err != nil {
		return clientcore.Beginning{}, err
	}
	c.out.expect(cn.life, cn.old.Load())
	cmd := cn.logonCommand(u, counter)
	wasPlain := c.plain[cn.server]
	if wasPlain {
		cmd.Options = "ack_conflation=10ms"
	}
	var m wire.Message
	if err := cn.authenticate(u, &cmd, &m); err != nil {
		return clientcore.Beginning{}, err
	}
	cn.plain = !m.IsExt()
	c.plain[cn.server] = cn.plain
	if cn.plain && !wasPlain {
		return clientcore.Beginning{}, errAgain
	}
	if err := cn.nc.SetDeadline(time.Time{}); err != nil {
		return clientcore.Beginning{}, err
	}
	cn.info = serverInfo(cn.server, &m)
	cn.at = cn.info.core()
	cn.sync.Store(uint32(cn.info.Sync))
	if err := cn.suits(); err != nil {
		return clientcore.Beginning{}, err
	}
	return cn.begin(&m)
}

func (cn *conn) logonCommand(u *uri, counter uint64) wire.LogonCommand {
	cmd := wire.LogonCommand{
		CommandID:   "0",
		ClientName:  cn.c.name,
		MessageType: u.messageType,
		Acks:        wire.AckProcessed,
		Version:     version,
		Ext:         true,
		Store:       cn.life.ID,
		Counter:     counter,
		Acked:       cn.life.Acked,
	}
	if cmd.MessageType == "" {
		cmd.MessageType = cn.c.cfg.MessageType
	}
	return cmd
}

// authenticate sends the logon, and again for each challenge, until the
// server accepts it with m or refuses it.
func (cn *conn) authenticate(u *uri, cmd *wire.LogonCommand, m *wire.Message) error {
	challenge := Challenge{Server: cn.server}
	for range maxChallenges {
		if err := cn.credentials(u, cmd, challenge); err != nil {
			return err
		}
		if _, err := cn.nc.Write(cmd.AppendTo(nil)); err != nil {
			return silence(err)
		}
		if err := cn.logonAck(m); err != nil {
			return err
		}
		switch string(m.Status) {
		case wire.StatusSuccess:
			return nil
		case wire.StatusFailure:
			return refusal("logon", string(m.Reason))
		}
		challenge.User, challenge.Text = string(m.UserID), string(m.Password)
	}
	return fmt.Errorf("%w: %d challenges in one logon", ErrProtocol, maxChallenges)
}

func (cn *conn) credentials(u *uri, cmd *wire.LogonCommand, challenge Challenge) (err error) {
	if cn.c.cfg.Credentials == nil {
		cmd.UserID, cmd.Password = u.user, u.password
		return nil
	}
	ctx, cancel := context.WithTimeout(cn.c.ctx, cn.c.cfg.LogonTimeout)
	defer cancel()
	cmd.UserID, cmd.Password, err = cn.c.cfg.Credentials(ctx, challenge)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}

// logonAck reads up to the answer to the logon. Rejections may come before it (R14).
func (cn *conn) logonAck(m *wire.Message) error {
	for first := true; ; first = false {
		if err := cn.readOne(m); err != nil {
			if first {
				err = stranger(err)
			}
			return err
		}
		if m.Command != wire.Ack {
			continue
		}
		if m.Acks&wire.AckProcessed != 0 && string(m.CommandID) == "0" {
			return nil
		}
		if err := cn.ack(m); err != nil {
			return err
		}
	}
}

// stranger asks of a peer whose first frame is none of the protocol who it is.
func stranger(err error) error {
	var long *wire.TooLargeError
	var header *wire.HeaderError
	if errors.As(err, &long) || errors.As(err, &header) {
		return fmt.Errorf("%w; is it a client port?", err)
	}
	return err
}

// begin takes in what the logon ack says about the publisher.
func (cn *conn) begin(m *wire.Message) (clientcore.Beginning, error) {
	if m.Max > 0 && !cn.plain {
		cn.c.maxMessage.Store(int64(min(m.Max, uint64(wire.MaxFrame)*16)))
	}
	b, err := cn.c.out.begin(cn.life, clientcore.LogonAnswer{Ext: !cn.plain, Safe: m.Sequence, Have: m.Have, Clock: clock()})
	switch {
	case err != nil:
		return b, err
	case b.Gap:
		return b, ErrPublishGap
	case b.RolledBack:
		if err := cn.c.rolledBack(m); err != nil {
			return b, err
		}
		cn.old.Store(true)
	}
	cn.replayTo = cn.life.Last
	cn.cursor, err = cn.openCursor(b.After)
	switch {
	case cn.old.Load() && errors.Is(err, pubstore.ErrNoLife):
		return b, errSettled // it keeps nothing: it went with Renew, or this ack let go of it all
	case err != nil:
		return b, fmt.Errorf("read publish store: %w", err)
	}
	return b, nil
}

// rolledBack begins a new life of a store that a server knows more of than
// the store does.
func (c *Client) rolledBack(m *wire.Message) error {
	err := fmt.Errorf("%w: the server has up to %d of it", ErrStoreRolledBack, max(m.Have, m.Sequence))
	c.cfg.Logger.Error("publish store was rolled back, beginning a new life", "error", err)
	if err := c.store.Renew(); err != nil {
		return fmt.Errorf("renew a store that was rolled back: %w", err)
	}
	c.out.mu.Lock()
	c.out.stats.RollBacks++
	c.out.mu.Unlock()
	if hook := c.cfg.Hooks.StoreRolledBack; hook != nil {
		c.post(func() { hook(err) })
	}
	return nil
}

// serverInfo copies what a logon ack says about the server.
func serverInfo(server string, m *wire.Message) ServerInfo {
	info := ServerInfo{
		Server:     server,
		Version:    string(m.Version),
		Extended:   m.IsExt(),
		CatchingUp: m.CatchingUp,
		MaxMessage: int(min(m.Max, 1<<31-1)),
		Carries:    m.HasCarried,
		Instance:   string(m.Instance),
		Sync:       parseSync(m.Sync),
	}
	if info.CatchingUp && info.Sync == SyncUnknown {
		info.Sync = SyncCatchingUp
	}
	if len(m.Peers) > 0 {
		info.Peers = strings.Split(string(m.Peers), ",")
	}
	if m.HasCarried && len(m.Carried) > 0 {
		info.Carried = strings.Split(string(m.Carried), ",")
	}
	return info
}
