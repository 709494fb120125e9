package client

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A uri is a parsed connection URI:
//
//	tcp://user:password@host:port/amps/json?tcp_nodelay=true
type uri struct {
	parsed      *url.URL
	network     string // network for the dialer: tcp, tcp4, tcp6 or unix
	tls         bool
	host        string
	address     string // address for the dialer
	messageType string // empty: not given
	plain       bool   // the logon does not mention our extensions

	user, password string
	bind           string
	noDelay        *bool
	sendBuffer     int // 0: not given
	receiveBuffer  int
}

// String returns the URI without its password.
func (u *uri) String() string { return u.parsed.Redacted() }

// redacted returns the URI without its password. It also hides the password of a mistyped URI, such
// as tcp:/user:password@host.
func (u *uri) redacted() string {
	if u.parsed.User == nil {
		return withoutUser(u.String())
	}
	return u.String()
}

// withHost returns the URI with host in place of its host.
func (u *uri) withHost(host string) string {
	p := *u.parsed
	p.Host = net.JoinHostPort(host, u.parsed.Port())
	return p.String()
}

const uriForm = "write tcp://host:port/amps/json"

// withoutUser returns the part of an invalid URI that can be shown. The text may contain a
// password.
func withoutUser(text string) string {
	if scheme, _, found := strings.Cut(text, "://"); found && uriMistake(text) != "" {
		if !slices.Contains([]string{"tcp", "tcps", "unix"}, scheme) {
			return "…" // this may be a part of a password
		}
		return scheme + "://…"
	}
	return text[strings.LastIndex(text, "@")+1:]
}

// uriMistake returns the mistake in a URI, or "". It finds mistakes that net/url accepts as another
// host or port, or reports with the password in its error.
func uriMistake(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	at := strings.LastIndexByte(authority, '@')
	host := authority[at+1:]
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "it contains a blank or a control character; remove it, or percent-encode it (a blank is %20)"
	case strings.ContainsAny(tail, "#@"), strings.IndexByte(authority, '@') != at:
		return "percent-encode @, /, ? and # in user and password, as %40, %2F, %3F and %23"
	case strings.Contains(host, ","):
		return "it names several servers; give each a URI of its own"
	case strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "["):
		return "an IPv6 address needs brackets, as in tcp://[::1]:9007/amps/json"
	}
	if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && !strings.HasPrefix(text, "unix:") {
			return "its port is not a number from 1 to 65535"
		}
	}
	return ""
}

func parseURI(text string) (*uri, error) {
	if reason := uriMistake(text); reason != "" {
		return nil, fmt.Errorf("server URI %q: %s", withoutUser(text), reason)
	}
	p, err := url.Parse(text)
	if err != nil { // the parser's error shows the password
		return nil, fmt.Errorf("server URI %q: host, port or a percent-encoded character is wrong; %s", withoutUser(text), uriForm)
	}
	if p.Scheme == "" || p.Opaque != "" {
		return nil, fmt.Errorf("server URI %q: it does not begin with a scheme; %s", withoutUser(text), uriForm)
	}
	u := &uri{parsed: p, network: "tcp", host: p.Hostname(), address: p.Host}
	for _, step := range []func() error{u.scheme, u.path, u.options} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("server URI %q: %w", u.redacted(), err)
		}
	}
	u.user = p.User.Username()
	u.password, _ = p.User.Password()
	return u, nil
}

func (u *uri) scheme() error {
	switch u.parsed.Scheme {
	case "tcp":
	case "tcps":
		u.tls = true
	case "unix":
		u.network = "unix"
		return nil
	case "ws", "wss":
		return errors.New("WebSocket is not supported; use tcp or tcps")
	default:
		return fmt.Errorf("scheme %q is none of tcp, tcps, unix; %s", u.parsed.Scheme, uriForm)
	}
	if u.host == "" || u.parsed.Port() == "" {
		return errors.New("host or port is missing, and the protocol has no default port; " + uriForm)
	}
	return nil
}

func (u *uri) path() error {
	parts := strings.Split(strings.Trim(u.parsed.Path, "/"), "/")
	if parts[0] != "" && parts[0] != "amps" {
		return fmt.Errorf("path %q does not begin with /amps", u.parsed.Path)
	}
	if len(parts) > 2 {
		return fmt.Errorf("path %q is not /amps/message-type", u.parsed.Path)
	}
	if len(parts) == 2 {
		u.messageType = parts[1]
	}
	return nil
}

func (u *uri) options() error {
	query, err := url.ParseQuery(u.parsed.RawQuery)
	if err != nil {
		return errors.New("options cannot be parsed")
	}
	for name, values := range query {
		if err := u.option(name, values[len(values)-1]); err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
	}
	if u.network == "unix" && u.address == u.parsed.Host {
		return errors.New("scheme unix needs the option path")
	}
	return nil
}

func (u *uri) option(name, value string) (err error) {
	switch name {
	case "tcp_nodelay":
		u.noDelay, err = parseBool(value)
	case "tcp_sndbuf":
		u.sendBuffer, err = parseSize(value)
	case "tcp_rcvbuf":
		u.receiveBuffer, err = parseSize(value)
	case "bind":
		if net.ParseIP(value) == nil {
			return fmt.Errorf("%q is not an IP address", value)
		}
		u.bind = value
	case "ext":
		var ext *bool
		if ext, err = parseBool(value); err == nil {
			u.plain = !*ext
		}
	case "ip_protocol_prefer":
		return u.family(value)
	case "path":
		if u.network != "unix" {
			return errors.New("is for the scheme unix")
		}
		u.address = value
	case "compression", "http_preflight":
		return errors.New("is not supported")
	default:
		return errors.New("is not known")
	}
	return err
}

func (u *uri) family(value string) error {
	switch {
	case u.network == "unix":
		return errors.New("is for the schemes tcp and tcps")
	case value == "ipv4":
		u.network = "tcp4"
	case value == "ipv6":
		u.network = "tcp6"
	default:
		return fmt.Errorf("%q is neither ipv4 nor ipv6", value)
	}
	return nil
}

func parseBool(value string) (*bool, error) {
	var b bool
	switch strings.ToLower(value) {
	case "true", "t", "1", "y", "yes":
		b = true
	case "false", "f", "0", "n", "no":
	default:
		return nil, fmt.Errorf("%q is neither true nor false", value)
	}
	return &b, nil
}

func parseSize(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size in bytes", value)
	}
	return n, nil
}
