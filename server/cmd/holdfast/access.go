package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/certs"
)

// accessFlags are the flags about the user and TLS of a command that connects to servers.
type accessFlags struct {
	User         string `env:"HOLDFAST_USER" placeholder:"USER" help:"User to log on as, in place of that of the URI. A password is in --password-file."`
	PasswordFile string `env:"HOLDFAST_PASSWORD_FILE" placeholder:"PATH" help:"File whose first line is the password. It is read at each attempt to connect. - asks for the password on the terminal. There is no flag for the password itself, since every user of the machine could read it."`
	Auth         string `env:"HOLDFAST_AUTH" default:"scram" enum:"scram,password" help:"What to do with the password: scram proves it and has the server prove that it knows it; password sends it, for servers without SCRAM."`
	TLSCA        string `name:"tls-ca" env:"HOLDFAST_TLS_CA" placeholder:"PATH" help:"PEM file with the certificates of the authorities that the servers' certificates must come from. Default: those of the system."`
	TLSCert      string `name:"tls-cert" env:"HOLDFAST_TLS_CERT" placeholder:"PATH" help:"PEM file with the client's certificate. It is read at each connection."`
	TLSKey       string `name:"tls-key" env:"HOLDFAST_TLS_KEY" placeholder:"PATH" help:"PEM file with the key of --tls-cert."`
}

// check validates the flags, without reading a file.
func (f *accessFlags) check() error {
	switch {
	case f.PasswordFile != "" && f.User == "":
		return usageErrorf("--password-file needs a --user")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return usageErrorf("--tls-cert and --tls-key belong together: give both or neither")
	case os.Getenv("HOLDFAST_PASSWORD") != "":
		return usageErrorf("HOLDFAST_PASSWORD is set, which is not supported: other processes can read the environment; put the password into a file, and its path into HOLDFAST_PASSWORD_FILE")
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

// tlsConfig returns the configuration for tcps servers, nil for the default.
func (f *accessFlags) tlsConfig() (*tls.Config, error) {
	cfg, err := certs.LoadClient(certs.Files{Cert: f.TLSCert, Key: f.TLSKey, CA: f.TLSCA})
	if file, is := errors.AsType[*certs.FileError](err); is {
		return nil, usageErrorf("--tls-%s: %w", file.Kind, file.Err)
	}
	return cfg, err
}

// readRoots reads the certificates of authorities. It returns nil, which stands for the
// system's, if path is empty.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	roots, err := certs.ReadAuthorities(path)
	if err != nil {
		return nil, usageErrorf("--tls-ca: %w", err)
	}
	return roots, nil
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
	fd := int(tty.Fd())
	defer restoreAtInterrupt(fd)()
	fmt.Fprintf(os.Stderr, "Password of %s: ", user)
	password, err := term.ReadPassword(fd)
	fmt.Fprintln(os.Stderr)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return "", fmt.Errorf("read the password: %w", err)
	case len(password) == 0:
		return "", usageErrorf("the password is empty")
	}
	return string(password), nil
}

// restoreAtInterrupt makes an interrupt end the process with the terminal as it is now. Without
// it the terminal would stay without echo.
func restoreAtInterrupt(fd int) (end func()) {
	state, err := term.GetState(fd)
	if err != nil {
		return func() {}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	keep := context.AfterFunc(ctx, func() {
		_ = term.Restore(fd, state)
		fmt.Fprintln(os.Stderr)
		os.Exit(exitFailed)
	})
	return func() {
		keep()
		stop()
	}
}

// accessError adds advice for the user to the refusal of a logon.
func accessError(err error) error {
	switch {
	case errors.Is(err, client.ErrNotAuthenticated):
		return &exitError{exitUsage, fmt.Errorf("%w: check --user and --password-file, or the certificate in --tls-cert", err)}
	case errors.Is(err, client.ErrServerNotProven):
		return &exitError{exitUsage, fmt.Errorf("%w; --auth password sends the password to servers without SCRAM", err)}
	case errors.Is(err, client.ErrNotEntitled):
		return &exitError{exitUsage, fmt.Errorf("%w: the user needs a permission for this, on every server of the group", err)}
	}
	return err
}
