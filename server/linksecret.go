package server

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/reload"
	"github.com/holdfast-mq/holdfast/internal/replica"
)

const (
	maxSecretFile = 1 << 10 // of the file of a link secret, bytes
	maxSecrets    = 2       // in one file
)

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

// readSecrets reads the link secret from a file and requires that only its owner may access it.
// While the secret is replaced, the file has two of them, one a line.
func readSecrets(file string) ([][]byte, error) {
	text, err := reload.ReadFile(file, maxSecretFile, 0o077)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w (holdfastd secret FILE makes one)", err)
	}
	var keys [][]byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		key, err := hex.DecodeString(string(line))
		if err != nil || len(key) != replica.SecretBytes {
			return nil, fmt.Errorf("%s does not contain a secret of %d hexadecimal digits: holdfastd secret FILE makes one", file, 2*replica.SecretBytes)
		}
		keys = append(keys, key)
	}
	if n := len(keys); n < 1 || n > maxSecrets {
		return nil, fmt.Errorf("%s contains %d secrets of %d hexadecimal digits, one a line: it must contain one, or two while the secret is replaced", file, n, 2*replica.SecretBytes)
	}
	return keys, nil
}

// secret checks that links which leave the machine have a secret or TLS, or that Insecure is set.
func (k *configChecker) secret(r *Replication) {
	switch n := len(r.SecretKey); {
	case n != 0 && n != replica.SecretBytes:
		k.addProblem("replication.secret", "has %d bytes: it must have %d", n, replica.SecretBytes)
	case n != 0 || r.Secret != "" || r.TLS != nil || r.TLSConfig != nil || r.Insecure, failpoint.On(failpoint.LinksOpenByDefault):
		return
	}
	addresses := []string{r.Listen}
	for _, d := range r.Destinations {
		addresses = append(addresses, d.Address)
	}
	for _, a := range addresses {
		if a != "" && !isLoopback(a) {
			k.addProblem("replication.secret", "is missing, and %s is not a loopback address: anybody who can reach that address could pose as a peer. "+
				"Name the file of a secret (holdfastd secret FILE makes one), give tls, or set insecure: true", a)
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
