package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/scram"
)

// An Authenticator logs a client on to its servers (Config.Authenticator). Password, PasswordFile,
// SCRAM, SCRAMFile and TokenFile return ready ones.
type Authenticator interface {
	// Begin returns the conversation of one attempt to connect, so that each attempt has fresh
	// credentials. It must not block, and must be safe for concurrent use.
	Begin() Conversation
}

// A Conversation answers one server during one attempt to connect. One goroutine at a time uses it.
type Conversation interface {
	// Answer returns user and password of the next logon: first without a text in the challenge,
	// then once for each challenge of the server. At the third challenge the client gives up. An
	// error fails the attempt. Answer may block until ctx ends, after Config.LogonTimeout.
	Answer(ctx context.Context, c Challenge) (user, password string, err error)
	// Trusted returns nil once the client may believe the server. A conversation in which the
	// server does not prove anything returns nil from the start. Otherwise the client takes nothing
	// from the server but a challenge or a refusal, and leaves its publish store out of the logon.
	// The error is the reason why the attempt fails if the server sends anything else. Trusted must
	// not block.
	Trusted() error
}

// A Challenge is the request that Credentials or a Conversation answers.
type Challenge struct {
	Server string // URI of the server, without a password
	// User and Text come from the server's challenge. They are empty at the first logon of a
	// connection.
	User, Text string
	// TLS is the state of the connection, or nil if it has no TLS.
	TLS *tls.ConnectionState
}

// Password returns an authenticator that sends user and password as they are. Whoever reads the
// connection reads the password: use it with tcps, and with servers that do not have SCRAM. The
// user may be empty.
func Password(user, password string) Authenticator {
	return &passwordAuth{user, fixed(password)}
}

// PasswordFile is Password with the first line of a file, which is read at each attempt to connect.
// The file has at most 16 KiB. An attempt fails if it has no line, an empty one, or several.
func PasswordFile(user, path string) Authenticator {
	return &passwordAuth{user, lineOf(path)}
}

// TokenFile is Password with the content of a file, without white space around it. It is for tokens
// that another process renews: the file is read at each attempt to connect. It has at most 16 KiB.
// An attempt fails if there is no token in it.
func TokenFile(user, path string) Authenticator {
	return &passwordAuth{user, contentOf(path)}
}

// SCRAM returns an authenticator that proves the password instead of sending it, and has the server
// prove that it knows the password's verifier (SCRAM-SHA-256). On connections with TLS 1.3 both
// proofs cover the connection (SCRAM-SHA-256-PLUS, tls-exporter), so nobody in between can pass
// them on. A server that accepts the logon without its proof is refused with ErrServerNotProven.
// Until the proof the client acts on nothing that the server says, and sends it only the client name
// and the user. User and password are UTF-8
// without control characters, 1 to 1,024 bytes long, and are not normalized.
func SCRAM(user, password string) Authenticator {
	return &scramAuth{user, fixed(password)}
}

// SCRAMFile is SCRAM with the first line of a file, as for PasswordFile.
func SCRAMFile(user, path string) Authenticator {
	return &scramAuth{user, lineOf(path)}
}

// A secret returns a password or a token. It is a function, so that printing a Config does not show
// it.
type secret func() (string, error)

// maxSecret is the longest file with a password or token, in bytes.
const maxSecret = 16 << 10

func fixed(text string) secret {
	return func() (string, error) { return text, nil }
}

// lineOf reads a file that has one line.
func lineOf(path string) secret {
	return readAnew(path, func(content string) string {
		return strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	})
}

// contentOf reads a file and removes white space around its content.
func contentOf(path string) secret {
	return readAnew(path, strings.TrimSpace)
}

// readAnew returns a secret that is read from a file at each call.
func readAnew(path string, trim func(string) string) secret {
	read := func() (string, error) {
		content, err := readBounded(path)
		if err != nil {
			return "", err
		}
		text := trim(string(content))
		if err := checkSecret(text); err != nil {
			return "", fmt.Errorf("file %s: %w", path, err)
		}
		return text, nil
	}
	if failpoint.On(failpoint.AuthReadsOnce) {
		return sync.OnceValues(read)
	}
	return read
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var content bytes.Buffer
	n, err := io.Copy(&content, io.LimitReader(f, maxSecret+1))
	if n > maxSecret {
		return nil, fmt.Errorf("file %s: more than %d bytes are no password or token", path, maxSecret)
	}
	return content.Bytes(), err
}

// checkSecret returns an error, which does not quote the text, if it cannot be a password or token.
func checkSecret(text string) error {
	switch {
	case text == "":
		return errors.New("the password or token is empty")
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("the password or token is not one line of UTF-8 without control characters")
	}
	return nil
}

// A passwordAuth is the Authenticator of Password, PasswordFile and TokenFile.
type passwordAuth struct {
	user   string
	secret secret
}

func (a *passwordAuth) Begin() Conversation { return &passwordConversation{passwordAuth: a} }

// A passwordConversation sends a password once.
type passwordConversation struct {
	*passwordAuth
	sent bool
}

func (p *passwordConversation) Answer(context.Context, Challenge) (user, password string, err error) {
	if p.sent {
		return "", "", errors.New("the server asks for more than a password: use SCRAM, or answer its challenges with Config.Credentials")
	}
	p.sent = true
	if password, err = p.secret(); err == nil {
		err = checkSecret(password)
	}
	return p.user, password, err
}

func (p *passwordConversation) Trusted() error { return nil }

// A scramAuth is the Authenticator of SCRAM and SCRAMFile.
type scramAuth struct {
	user   string
	secret secret
}

func (a *scramAuth) Begin() Conversation { return &scramConversation{scramAuth: a} }

// A scramConversation is one conversation of SCRAM: client-first, client-final, and an empty logon
// after the server's proof.
type scramConversation struct {
	*scramAuth
	client *scram.Client // nil before the first logon
	final  bool          // client-final was sent
}

func (s *scramConversation) Answer(_ context.Context, c Challenge) (user, password string, err error) {
	switch {
	case s.client == nil:
		var secret string
		if secret, err = s.secret(); err == nil {
			err = errors.Join(scram.CheckText("user", s.user), scram.CheckText("password", secret))
		}
		if err != nil {
			return "", "", err
		}
		s.client = scram.NewClient(s.user, secret, scram.Binding(c.TLS))
		password = s.client.Initial()
	case !s.final:
		s.final = true
		password, err = s.client.Final(c.Text)
	default:
		err = s.client.Verify(c.Text)
		if errors.Is(err, scram.ErrServerProof) {
			err = fmt.Errorf("%w: its signature is wrong", ErrServerNotProven)
		}
	}
	return s.user, password, err
}

func (s *scramConversation) Trusted() error {
	if s.client != nil && s.client.Proven() || failpoint.On(failpoint.AuthTrustsAnyServer) {
		return nil
	}
	return fmt.Errorf("%w: it did not answer with SCRAM, so it is not the configured server, or has no SCRAM or no users", ErrServerNotProven)
}

// A credentialsConversation asks Config.Credentials.
type credentialsConversation struct {
	credentials func(ctx context.Context, c Challenge) (user, password string, err error)
}

func (c credentialsConversation) Answer(ctx context.Context, ch Challenge) (user, password string, err error) {
	return c.credentials(ctx, ch)
}

func (c credentialsConversation) Trusted() error { return nil }

// beginConversation begins the conversation of a connection to u.
func (c *Client) beginConversation(u *uri) Conversation {
	switch {
	case c.cfg.Authenticator != nil:
		return c.cfg.Authenticator.Begin()
	case c.cfg.Credentials != nil:
		return credentialsConversation{c.cfg.Credentials}
	}
	return credentialsConversation{func(context.Context, Challenge) (string, string, error) { return u.user, u.password, nil }}
}

// answer returns the answer of a conversation, within the logon timeout.
func (c *Client) answer(conversation Conversation, challenge Challenge) (user, password string, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.LogonTimeout)
	defer cancel()
	user, password, err = conversation.Answer(ctx, challenge)
	if err != nil {
		return "", "", fmt.Errorf("credentials: %w", err)
	}
	return user, password, nil
}

// checkLogon returns an error if fields about the logon or TLS contradict each other.
func (c *Config) checkLogon() error {
	var errs []error
	if c.Credentials != nil && c.Authenticator != nil {
		errs = append(errs, errors.New("both Credentials and Authenticator are set"))
	}
	switch a := c.Authenticator.(type) {
	case *scramAuth:
		errs = append(errs, scram.CheckText("user of Authenticator", a.user))
	case *passwordAuth:
		if a.user != "" {
			errs = append(errs, scram.CheckText("user of Authenticator", a.user))
		}
	}
	for _, u := range c.configuredURIs() {
		errs = append(errs, c.checkTLS(u))
	}
	return errors.Join(errs...)
}

// configuredURIs returns the valid URIs that are known before the first attempt to connect.
func (c *Config) configuredURIs() (uris []*uri) {
	switch chooser := c.Chooser.(type) {
	case *dnsChooser:
		return []*uri{chooser.uri}
	case *listChooser:
		for _, server := range chooser.servers {
			if u, err := parseURI(server); err == nil {
				uris = append(uris, u)
			}
		}
	}
	return uris
}

// checkTLS returns ErrTLSRequired if RequireTLS forbids the URI. Local sockets need no TLS.
func (c *Config) checkTLS(u *uri) error {
	if !c.RequireTLS || u.tls || u.network == "unix" {
		return nil
	}
	return fmt.Errorf("server URI %q: %w", u.redacted(), ErrTLSRequired)
}

// warnOfClearText logs, once, that a password can be read by whoever reads the connection.
func (c *Client) warnOfClearText(u *uri, nc net.Conn, password string) {
	_, proof := scram.CutInitial(password)
	if password == "" || proof || tlsState(nc) != nil || u.isLocal(nc) {
		return
	}
	c.clearTextWarning.Do(func() {
		c.cfg.Logger.Warn("the password is sent in the clear: use a tcps URI, or SCRAM", "server", u.String())
	})
}

// isLocal reports whether the connection does not leave the machine.
func (u *uri) isLocal(nc net.Conn) bool {
	if u.network == "unix" || u.host == "localhost" {
		return true
	}
	ip := net.ParseIP(u.host)
	if remote, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		ip = remote.IP
	}
	return ip.IsLoopback()
}

// tlsState returns the state of a connection's TLS, or nil if it has none.
func tlsState(nc net.Conn) *tls.ConnectionState {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	state := tc.ConnectionState()
	return &state
}
