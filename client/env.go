package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/holdfast-mq/holdfast/internal/certs"
	"github.com/holdfast-mq/holdfast/internal/scram"
)

// The variables of ConfigFromEnv.
const (
	envServers      = "HOLDFAST_SERVERS"
	envName         = "HOLDFAST_NAME"
	envUser         = "HOLDFAST_USER"
	envPasswordFile = "HOLDFAST_PASSWORD_FILE"
	envPassword     = "HOLDFAST_PASSWORD" // refused
	envAuth         = "HOLDFAST_AUTH"
	envTLSCA        = "HOLDFAST_TLS_CA"
	envTLSCert      = "HOLDFAST_TLS_CERT"
	envTLSKey       = "HOLDFAST_TLS_KEY"
)

// ConfigFromEnv returns a configuration with the fields that the environment sets. The caller adds
// stores, hooks and other settings. The command holdfast reads the same variables. One that is empty
// counts as not set:
//
//	HOLDFAST_SERVERS        Servers: the URIs, separated by commas or blanks; required. A comma inside of
//	                        a URI is %2C.
//	HOLDFAST_NAME           Name; default none. Two processes under one name push each other out.
//	HOLDFAST_USER           The user to log on as, in place of those of the URIs.
//	HOLDFAST_PASSWORD_FILE  The file with the password of that user on its only line. It is read at each
//	                        attempt to connect. Default: the user logs on without a password, as one
//	                        with a certificate does.
//	HOLDFAST_AUTH           scram (SCRAMFile) or password (PasswordFile); default scram.
//	HOLDFAST_TLS_CA         The PEM file with the authorities that sign the certificates of tcps servers. It
//	                        is read once. Default: those of the system.
//	HOLDFAST_TLS_CERT       The PEM file with the certificate of the client. It is read at each connection.
//	HOLDFAST_TLS_KEY        The PEM file with the key of that certificate.
//
// There is no variable for a password itself, because child processes inherit the environment, and
// tools for processes and containers show it. HOLDFAST_PASSWORD is an error, so that nobody believes
// that it is used. There is none for a store either: the application opens and closes its stores.
//
// The files are read, so that a mistake shows at the start of the program. No connection is made. An
// error names each variable that cannot be used; it has no password.
func ConfigFromEnv() (Config, error) {
	c := Config{Name: os.Getenv(envName)}
	errs := []error{c.serversFromEnv(), c.userFromEnv(), c.tlsFromEnv()}
	if mistake := nameMistake(c.Name); mistake != "" {
		errs = append(errs, fmt.Errorf("%s %s", envName, mistake))
	}
	if os.Getenv(envPassword) != "" {
		errs = append(errs, fmt.Errorf("%s is set, which is not supported: other processes can read the environment; put the password into a file, and its path into %s", envPassword, envPasswordFile))
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, fmt.Errorf("configuration from the environment: %w", err)
	}
	return c, nil
}

// naming adds the name of a variable to an error.
func naming(variable string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", variable, err)
}

func (c *Config) serversFromEnv() error {
	c.Servers = strings.FieldsFunc(os.Getenv(envServers), func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(c.Servers) == 0 {
		return fmt.Errorf("%s is not set: give the URIs of the servers, such as tcp://127.0.0.1:9007/amps/json,tcp://127.0.0.1:9008/amps/json", envServers)
	}
	var errs []error
	for _, server := range c.Servers {
		_, err := parseURI(server)
		errs = append(errs, naming(envServers, err))
	}
	return errors.Join(errs...)
}

func (c *Config) userFromEnv() error {
	user, path := os.Getenv(envUser), os.Getenv(envPasswordFile)
	if user == "" && path == "" {
		return nil
	}
	if user == "" {
		return fmt.Errorf("%s is not set, but %s is: name the user of that password", envUser, envPasswordFile)
	}
	if err := scram.CheckText("user", user); err != nil {
		return naming(envUser, err)
	}
	if path == "" {
		c.Credentials = func(context.Context, Challenge) (string, string, error) { return user, "", nil }
		return nil
	}
	switch auth := os.Getenv(envAuth); auth {
	case "", "scram":
		c.Authenticator = SCRAMFile(user, path)
	case "password":
		c.Authenticator = PasswordFile(user, path)
	default:
		return fmt.Errorf("%s is %q: it must be scram or password", envAuth, auth)
	}
	_, err := lineOf(path)()
	return naming(envPasswordFile, err)
}

func (c *Config) tlsFromEnv() error {
	files := certs.Files{Cert: os.Getenv(envTLSCert), Key: os.Getenv(envTLSKey), CA: os.Getenv(envTLSCA)}
	if (files.Cert == "") != (files.Key == "") {
		return fmt.Errorf("%s and %s belong together: set both or neither", envTLSCert, envTLSKey)
	}
	var err error
	c.TLS, err = certs.LoadClient(files)
	if file, is := errors.AsType[*certs.FileError](err); is {
		return naming(map[string]string{"ca": envTLSCA, "cert": envTLSCert, "key": envTLSKey}[file.Kind], file.Err)
	}
	return err
}
