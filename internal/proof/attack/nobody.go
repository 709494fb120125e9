package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// forbiddenBody is the body of messages that their sender may not publish.
const forbiddenBody = "forbidden"

// attackerAddresses is the number of addresses from which a role attacks.
const attackerAddresses = 4

// address returns one of the addresses of a role, which no well-behaved client has.
func (t target) address(n int) net.IP {
	network := byte(1 + slices.Index([]string{nobody, guest, noisy}, t.role))
	return net.IPv4(127, 0, network, byte(2+n%attackerAddresses))
}

// storm runs an attempt again and again on n connections at once. try gets an address of the role.
func (t target) storm(n int, ready func(), try func(from net.IP)) error {
	for i := range n {
		from := t.address(i)
		go func() { // ends with the process
			for {
				try(from)
				restToHalfCore()
			}
		}()
	}
	time.Sleep(200 * time.Millisecond)
	ready()
	time.Sleep(time.Minute)
	return nil
}

// impatience is how long an attacker waits for an answer before it tries again.
const impatience = 50 * time.Millisecond

// stormLogons has n clients that connect and try to log on, which must fail.
func stormLogons(n int, attempt string, logOn func(c *raw) error) func(t target, ready func()) error {
	return func(t target, ready func()) error {
		return t.storm(n, ready, func(from net.IP) {
			c, err := t.dial(from)
			if err != nil {
				results.addError(err)
				return
			}
			defer c.Close()
			if rand.IntN(4) > 0 { // does not wait for the answer to a failure, which is delayed
				err = c.SetDeadline(time.Now().Add(impatience))
			}
			if err == nil {
				err = logOn(c)
			}
			results.mustRefuse(attempt, err)
		})
	}
}

// someUser returns the name of a user: one with a verifier, one with a hash, or an unknown one.
func someUser() string {
	return []string{wellBehavedUser, hashedUser, fmt.Sprintf("nobody-%d", rand.IntN(1000))}[rand.IntN(3)]
}

func strangerLogon(user, password string) *wire.LogonCommand {
	l := logon(user+"-1", fmt.Sprintf("stranger-%x", rand.Uint64()), 1, 0, 0)
	l.UserID, l.Password = user, password
	return l
}

// wrongPassword logs on with a wrong password, which the server has to hash.
func wrongPassword(c *raw) error {
	if err := c.send(strangerLogon(someUser(), "wrong")); err != nil {
		return err
	}
	_, err := c.await(wire.AckProcessed)
	return err
}

// wrongProof answers the challenge with a proof that is made up, which costs the client nothing.
func wrongProof(c *raw) error {
	user := someUser()
	l := strangerLogon(user, scram.Mechanism+" n,,n="+user+",r=0123456789abcdefghij")
	if err := c.send(l); err != nil {
		return err
	}
	m, err := c.await(wire.AckProcessed)
	if err != nil {
		return err
	}
	if string(m.Status) != wire.StatusRetry {
		return nil
	}
	nonce, _, _ := strings.Cut(string(m.Password), ",")
	l.Password = "c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("p", 32)))
	if err := c.send(l); err != nil {
		return err
	}
	_, err = c.await(wire.AckProcessed)
	return err
}

// endlessChallenges begins another conversation in answer to each challenge.
func endlessChallenges(c *raw) error {
	user := someUser()
	l := strangerLogon(user, scram.Mechanism+" n,,n="+user+",r=0123456789abcdefghij")
	for n := 0; ; n++ {
		if err := c.send(l); err != nil {
			return err
		}
		m, err := c.await(wire.AckProcessed)
		if err != nil {
			return err
		}
		if string(m.Status) != wire.StatusRetry {
			return nil
		}
		if n == 3 {
			results.forbid("a fourth challenge")
		}
	}
}

// noCredentials sends a logon without a user, a publish and a subscribe in one write.
func noCredentials(c *raw) error {
	s := subscribe("1", ".*", "0", "")
	s.Acks = wire.AckProcessed
	return c.sendForbidden(strangerLogon("", ""), publish(topic, 1, forbiddenBody), s)
}

// sendForbidden sends frames and reads the first answer. It returns nil if that is not a failure.
func (c *raw) sendForbidden(frames ...frame) error {
	if err := c.send(frames...); err != nil {
		return err
	}
	b, err := c.r.Next()
	if err != nil {
		return err
	}
	m := new(wire.Message)
	if err := wire.Parse(b, m); err != nil {
		return err
	}
	if m.Failed() {
		return refusal(m.Reason)
	}
	return nil
}

// plainClient sends the same to the port with TLS without TLS.
func plainClient(t target, ready func()) error {
	t.trust = nil
	return stormLogons(16, "served without TLS", func(c *raw) error {
		err := noCredentials(c)
		if reason, refused := errors.AsType[refusal](err); refused && reason != wire.ReasonTLSRequired {
			return nil // it got further
		}
		return err
	})(t, ready)
}

// garbage sends bytes in place of a handshake: noise, records with wrong lengths, parts of a
// handshake.
func garbage(t target, ready func()) error {
	hello := clientHello()
	return t.storm(16, ready, func(from net.IP) {
		conn, err := dialFrom(from, t.clients)
		if err != nil {
			results.addError(err)
			return
		}
		defer conn.Close()
		b := make([]byte, 1+rand.IntN(100_000))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		switch rand.IntN(3) {
		case 0:
			b = append([]byte{0x16, 3, 1, 0xff, 0xff}, b...)
		case 1:
			b = append(hello[:rand.IntN(len(hello)):len(hello)], b...)
		}
		_, err = conn.Write(b)
		if err == nil {
			_, err = io.Copy(io.Discard, conn)
		}
		results.mustRefuse("garbage was taken for a handshake", errors.Join(err, io.EOF))
	})
}

// A recorder is a connection that keeps the first bytes that are written, and then fails.
type recorder struct {
	net.Conn
	written []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.written = append(r.written, b...)
	return 0, os.ErrClosed
}

// clientHello returns the first message of a TLS handshake.
func clientHello() []byte {
	r := &recorder{}
	_ = tls.Client(r, &tls.Config{ServerName: "127.0.0.1"}).Handshake() // fails
	return r.written
}

// unfinished holds connections of one address whose handshakes have begun and never end: some have
// sent half of their first message, some all of it.
func unfinished(t target, ready func()) error {
	hello := clientHello()
	var held []net.Conn
	for n := 0; ; n++ {
		c, err := dialFrom(t.address(0), t.clients)
		if err == nil {
			_, err = c.Write(hello[:len(hello)/(1+n%2)])
			held = append(held, c)
		}
		results.addError(err)
		if len(held) > 1000 {
			ready()
			held[0].Close()
			held = held[1:]
			results.add("handshakes given up")
		}
		restToHalfCore()
	}
}

// handshakes completes handshakes and leaves.
func handshakes(t target, ready func()) error {
	return t.storm(16, ready, func(from net.IP) {
		c, err := t.dial(from)
		if err != nil {
			results.addError(err)
			return
		}
		results.add("handshakes")
		c.Close()
	})
}

// strangeTLSLink connects to the replication port: without a certificate, with one that nobody has
// signed, or without TLS.
func strangeTLSLink(t target, ready func()) error {
	config := t.trust.Clone()
	own := strangeCertificate()
	return t.storm(8, ready, func(from net.IP) {
		conn, err := dialFrom(from, t.links)
		if err != nil {
			results.addError(err)
			return
		}
		defer conn.Close()
		config := config.Clone()
		switch rand.IntN(3) {
		case 0:
			config.Certificates = []tls.Certificate{own}
			fallthrough
		case 1:
			secure := tls.Client(conn, config)
			if err := secure.Handshake(); err != nil {
				results.addError(err)
				return
			}
			conn = secure
		}
		// With TLS 1.3 the server judges the certificate after the client's handshake.
		_, err = conn.Write([]byte("\x00\x00\x00\x10hello, I am b...."))
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, conn); n > maxStrangerAnswer {
				results.forbid("an answer on the replication port")
			}
		}
		results.mustRefuse("a stranger on the replication port", errors.Join(err, io.EOF))
	})
}
