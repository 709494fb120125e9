package server

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"github.com/holdfast-mq/holdfast/internal/replica"
)

// maxSecretFile limits the bytes that are read from the file of a link secret.
const maxSecretFile = 1 << 10

// WriteSecret makes a new random link secret and writes it to a new file that only its owner may
// read. It fails if the file exists. All instances of a group get a copy of the file.
func WriteSecret(file string) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a link secret: %w", err)
	}
	key := make([]byte, replica.SecretBytes)
	_, _ = rand.Read(key) // never fails
	_, err = fmt.Fprintf(f, "%x\n", key)
	if err = cmp.Or(err, f.Sync()); err != nil {
		err = fmt.Errorf("make a link secret: %w", err)
	}
	return errors.Join(err, f.Close())
}

// readSecret reads the link secret from a file and requires that only its owner may read it.
func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w (holdfastd secret FILE makes one)", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has mode %04o, so that other users can access it: chmod 600 it, and make another secret if somebody may have read it", file, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(key) != replica.SecretBytes {
		return nil, fmt.Errorf("%s does not contain a secret of %d hexadecimal digits: holdfastd secret FILE makes one", file, 2*replica.SecretBytes)
	}
	return key, nil
}

// loadSecret reads the file of the link secret if the config names one.
func (c *Config) loadSecret() error {
	r := c.Replication
	if r == nil || r.Secret == "" {
		return nil
	}
	key, err := readSecret(r.Secret)
	if err != nil {
		return &ConfigError{Field: "replication.secret", Text: err.Error()}
	}
	copied := *r // do not change the caller's Replication
	copied.SecretKey = key
	c.Replication = &copied
	return nil
}

// secret checks that links which leave the machine have a secret, or that Insecure is set.
func (k *configChecker) secret(r *Replication) {
	switch n := len(r.SecretKey); {
	case n != 0 && n != replica.SecretBytes:
		k.addProblem("replication.secret", "has %d bytes: it must have %d", n, replica.SecretBytes)
	case n != 0 || r.Secret != "" || r.Insecure:
		return
	}
	addresses := []string{r.Listen}
	for _, d := range r.Destinations {
		addresses = append(addresses, d.Address)
	}
	for _, a := range addresses {
		if a != "" && !isLoopback(a) {
			k.addProblem("replication.secret", "is missing, and %s is not a loopback address: anybody who can reach that address could pose as a peer. "+
				"Name the file of a secret (holdfastd secret FILE makes one), or set insecure: true", a)
			return
		}
	}
}

// isLoopback reports whether an address can be reached from this machine only.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // another check reports it
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
