package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/prompt"
)

// accessFlags are the flags about the user and TLS of a command that connects to servers.
type accessFlags struct {
	User         string `env:"HOLDFAST_USER" placeholder:"USER" help:"User to log on as, in place of that of the URI. A password is in --password-file."`
	PasswordFile string `env:"HOLDFAST_PASSWORD_FILE" placeholder:"PATH" help:"File whose first line is the password. It is read at each attempt to connect. - asks for the password on the terminal. There is no flag for the password itself, since every user of the machine could read it."`
	Auth         string `env:"HOLDFAST_AUTH" default:"scram" enum:"scram,password" help:"What to do with the password: scram proves it and has the server prove that it knows it; password sends it, for servers without SCRAM."`
	tlsFlags
}

// tlsFlags are the flags about TLS of a command that connects to servers or to admin ports.
type tlsFlags struct {
	TLSCA   string `name:"tls-ca" env:"HOLDFAST_TLS_CA" placeholder:"PATH" help:"PEM file with the certificates of the authorities that the servers' certificates must come from. Default: those of the system."`
	TLSCert string `name:"tls-cert" env:"HOLDFAST_TLS_CERT" placeholder:"PATH" help:"PEM file with the client's certificate. It is read at each connection."`
	TLSKey  string `name:"tls-key" env:"HOLDFAST_TLS_KEY" placeholder:"PATH" help:"PEM file with the key of --tls-cert."`
}

// check validates the flags, without reading a file.
func (f *accessFlags) check() error {
	switch {
	case f.PasswordFile != "" && f.User == "":
		return usageErrorf("--password-file needs a --user")
	case os.Getenv("HOLDFAST_PASSWORD") != "":
		return usageErrorf("HOLDFAST_PASSWORD is set, which is not supported: other processes can read the environment; put the password into a file, and its path into HOLDFAST_PASSWORD_FILE")
	}
	return f.tlsFlags.check()
}

// check validates the flags, without reading a file.
func (f *tlsFlags) check() error {
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return usageErrorf("--tls-cert and --tls-key belong together: give both or neither")
	}
	return nil
}

// warn reports passwords that others can read: in the arguments of the process, or on the way
// to a server.
func (f *accessFlags) warn(s *screen, uris []string) {
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		switch _, given := u.User.Password(); {
		case given && !strings.Contains(os.Getenv("HOLDFAST_SERVERS"), text): // the arguments have it
			s.warn("the password in %s can be read by every user of this machine: use --user and --password-file", u.Redacted())
		case f.PasswordFile != "" && f.Auth == "password" && u.Scheme == "tcp" && !isLoopback(u.Hostname()):
			s.warn("the password is sent to %s in the clear: use a tcps URI, or --auth scram", u.Redacted())
		}
	}
}

func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// configure sets the fields of a client's configuration about the user and TLS. It reads the
// files once, so that a mistake shows before anything else happens.
func (f *accessFlags) configure(cfg *client.Config) (err error) {
	if cfg.Authenticator, err = f.authenticator(); err != nil {
		return err
	}
	cfg.TLS, err = f.tlsConfig()
	return err
}

// authenticator returns nil if the user of the URI is to be used.
func (f *accessFlags) authenticator() (client.Authenticator, error) {
	if f.PasswordFile == "" {
		return f.userAlone(), nil
	}
	fixed, file := client.SCRAM, client.SCRAMFile
	if f.Auth == "password" {
		fixed, file = client.Password, client.PasswordFile
	}
	if f.PasswordFile == "-" {
		password, err := askPassword(f.User)
		return fixed(f.User, password), err
	}
	password, err := readSecret(client.PasswordFile, f.PasswordFile)
	if err != nil {
		return nil, usageErrorf("--password-file: %w", err)
	}
	if info, err := os.Stat(f.PasswordFile); err != nil || !info.Mode().IsRegular() {
		return fixed(f.User, password), nil // a pipe cannot be read again
	}
	return file(f.User, f.PasswordFile), nil
}

// userAlone returns the authenticator for a user without a password, whose certificate is
// enough. It is nil without a user.
func (f *accessFlags) userAlone() client.Authenticator {
	if f.User == "" {
		return nil
	}
	return userOnly(f.User)
}

// A userOnly is a user that logs on without a password. It implements client.Authenticator and
// client.Conversation.
type userOnly string

// Begin implements client.Authenticator.
func (u userOnly) Begin() client.Conversation { return u }

// Answer implements client.Conversation.
func (u userOnly) Answer(context.Context, client.Challenge) (user, password string, err error) {
	return string(u), "", nil
}

// Trusted implements client.Conversation.
func (u userOnly) Trusted() error { return nil }

// readSecret reads a password or token once.
func readSecret(kind func(user, path string) client.Authenticator, path string) (string, error) {
	_, secret, err := kind("", path).Begin().Answer(context.Background(), client.Challenge{})
	return secret, err
}

// tlsConfig returns the configuration for servers with TLS, nil for the default.
func (f *tlsFlags) tlsConfig() (*tls.Config, error) {
	cfg, err := certs.LoadClient(certs.Files{Cert: f.TLSCert, Key: f.TLSKey, CA: f.TLSCA})
	if file, is := errors.AsType[*certs.FileError](err); is {
		return nil, usageErrorf("--tls-%s: %w", file.Kind, file.Err)
	}
	return cfg, err
}

// askPassword asks for a password on the terminal of the process, which standard input need not
// be, without echo.
func askPassword(user string) (string, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		defer tty.Close()
	} else if tty = os.Stdin; !term.IsTerminal(int(tty.Fd())) {
		return "", usageErrorf("--password-file - asks on the terminal, and there is none: name a file")
	}
	password, err := prompt.Secret(tty, os.Stderr, fmt.Sprintf("Password of %s: ", user), exitFailed)
	if err == nil && password == "" {
		err = usageErrorf("the password is empty")
	}
	return password, err
}

// user returns the user that a command logs on as, empty if only a certificate or the server knows it.
func (f *accessFlags) user(uris []string) string {
	if f.User != "" || len(uris) == 0 {
		return f.User
	}
	u, err := url.Parse(uris[0])
	if err != nil {
		return ""
	}
	return u.User.Username()
}

// An identity is the user and the client name with which a command logs on.
type identity struct{ user, name string }

// who names the user at the beginning of a sentence.
func (i identity) who() string {
	if i.user == "" {
		return "the user"
	}
	return "user " + strconv.Quote(i.user)
}

// tlsAdvice says what to do about a failed TLS handshake, empty if err is something else or says it.
func tlsAdvice(err error) string {
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return "name the authority of its certificate as --tls-ca, and the host as its certificate does"
	}
	for alert, advice := range map[string]string{
		"unknown certificate authority": "the server does not accept the certificate in --tls-cert: it must come from its 'client_ca'",
		"bad certificate":               "the server does not accept the certificate in --tls-cert: it must come from its 'client_ca', and be for clients",
		"certificate required":          "the server requires a certificate from its 'client_ca': give --tls-cert and --tls-key",
		"expired certificate":           "the certificate in --tls-cert has expired: replace it",
	} {
		if strings.Contains(err.Error(), "remote error: tls: "+alert) {
			return advice
		}
	}
	return ""
}

// accessError adds advice for the user to the refusal of a logon.
func (i identity) accessError(err error) error {
	switch {
	case errors.Is(err, client.ErrOtherOwner):
		return &exitError{exitUsage, fmt.Errorf("%w: %s with client name %q may not use this publish store: log on as the user of the store, or use another --store", err, i.who(), i.name)}
	case errors.Is(err, client.ErrNotAuthenticated):
		return &exitError{exitUsage, fmt.Errorf("%w: check --user and --password-file, or the certificate in --tls-cert", err)}
	case errors.Is(err, client.ErrServerNotProven):
		return &exitError{exitUsage, fmt.Errorf("%w; --auth password sends the password to servers without SCRAM", err)}
	case errors.Is(err, client.ErrNotEntitled):
		return &exitError{exitUsage, fmt.Errorf("%w: %s", err, i.permissionAdvice(err))}
	}
	return err
}

// permissionAdvice says which permission a command lacks that was refused as not entitled.
func (i identity) permissionAdvice(err error) string {
	if refusal, is := errors.AsType[*client.CommandError](err); is && refusal.Topic == "" {
		return fmt.Sprintf("%s may not have the client name %q: use another --name, or have its 'client_names' allow this one on every server", i.who(), i.name)
	}
	return i.who() + " may not read this topic: have its 'subscribe' allow it on every server"
}
