package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// rotate replaces everything that can be replaced, and changes users.
func (w *world) rotate(ctx context.Context) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"certificates of the servers, by another authority", w.rotateServers},
		{"certificates of clients, by another authority", w.rotateClients},
		{"certificates of the links, by another authority", w.rotateLinks},
		{"the link secret", w.rotateSecret},
		{"the password of a user", w.rotatePassword},
		{"a user is removed, and comes back", w.removeUser},
		{"a permission is revoked, and granted again", w.revoke},
		{"the admin token", w.rotateToken},
		{"kill -9 of a: the files on its disk are good", w.killA},
		{"restart of b: so are those of b", w.restartB},
	} {
		if err := w.step(ctx, s.name, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// rotateServers replaces the certificates of the ports for clients and operators.
func (w *world) rotateServers(ctx context.Context) error {
	old := w.servers
	fresh, err := newAuthority("servers 2")
	if err != nil {
		return err
	}
	if err := w.trust(ctx, old.pem()+fresh.pem()); err != nil {
		return err
	}
	w.servers = fresh
	err = w.each(func(in *pair.Instance) error {
		err := w.reloading(ctx, in, "clients.tls", func() error { return w.certify(in, fresh, serverCert, serverKey) })
		if err != nil {
			return err
		}
		return errors.Join(handshake(in, trusting(fresh), true), handshake(in, trusting(old), false), w.setAdmin(in))
	})
	if err != nil {
		return err
	}
	if err := w.reconnect(ctx, w.apps()...); err != nil {
		return err
	}
	return w.trust(ctx, fresh.pem())
}

// trust restarts all applications with these authorities.
func (w *world) trust(ctx context.Context, authorities string) error {
	for _, a := range w.apps() {
		if err := replace(a.file(rootsFile), authorities); err != nil {
			return err
		}
	}
	return w.restartApps(ctx)
}

// handshake does a handshake at the client port. It returns an error unless the outcome is as wanted.
func handshake(in *pair.Instance, cfg *tls.Config, wanted bool) error {
	c, err := tls.Dial("tcp", in.ClientAddress, cfg)
	if err == nil {
		defer c.Close()
		// The refusal of a client's certificate comes after the handshake of the client.
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err = c.Read(make([]byte, 1)); isTimeout(err) {
			err = nil
		}
	}
	if (err == nil) != wanted {
		return fmt.Errorf("a handshake with %s: %v, but whether it should succeed is %v", in.Name, err, wanted)
	}
	return nil
}

func isTimeout(err error) bool {
	t, is := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return is && t.Timeout()
}

// reconnect cuts the connections of applications, and waits until they have logged on again.
func (w *world) reconnect(ctx context.Context, apps ...*app) error {
	for _, a := range apps {
		before := a.logons.Load()
		a.cut()
		if err := w.await(ctx, "the next logon", func() bool { return a.logons.Load() > before }); err != nil {
			return a.explain(err)
		}
	}
	return nil
}

// rotateClients replaces the certificates of clients, and their authority.
func (w *world) rotateClients(ctx context.Context) error {
	old, prices := w.clients, w.publisher("prices").app
	fresh, err := newAuthority("clients 2")
	if err != nil {
		return err
	}
	authorities := func(text string) error {
		return w.each(func(in *pair.Instance) error {
			return w.reloading(ctx, in, "clients.tls", func() error { return w.write(in, clientCA, text) })
		})
	}
	if err := authorities(old.pem() + fresh.pem()); err != nil {
		return err
	}
	if err := certifyApp(prices, fresh); err != nil {
		return err
	}
	if err := w.reconnect(ctx, prices); err != nil {
		return err
	}
	if err := authorities(fresh.pem()); err != nil {
		return err
	}
	w.clients = fresh
	if err := w.reconnect(ctx, prices); err != nil {
		return err
	}
	return w.each(func(in *pair.Instance) error {
		cfg := trusting(w.servers)
		cert, key, err := old.issue("prices")
		if err != nil {
			return err
		}
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return err
		}
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return handshake(in, cfg, false)
	})
}

// rotateLinks replaces the certificates of the links, and their authority. After each change the cable
// is cut, and a link must come back.
func (w *world) rotateLinks(ctx context.Context) error {
	fresh, err := newAuthority("links 2")
	if err != nil {
		return err
	}
	each := func(change func(in *pair.Instance) error) error {
		return w.each(func(in *pair.Instance) error {
			if err := w.reloading(ctx, in, "replication.tls", func() error { return change(in) }); err != nil {
				return err
			}
			return w.relink(ctx)
		})
	}
	old := w.links
	w.links = fresh
	if err := each(func(in *pair.Instance) error { return w.write(in, linkCA, old.pem()+fresh.pem()) }); err != nil {
		return err
	}
	if err := each(func(in *pair.Instance) error { return w.certify(in, fresh, linkCert, linkKey) }); err != nil {
		return err
	}
	return each(func(in *pair.Instance) error { return w.write(in, linkCA, fresh.pem()) })
}

// relink cuts the cable, as a network may at any time, and waits until the pair is in sync again.
func (w *world) relink(ctx context.Context) error {
	for _, c := range w.cables {
		c.SetCut(true)
	}
	err := w.await(ctx, "the link to break", func() bool { return !w.pair[0].InSync() && !w.pair[1].InSync() })
	for _, c := range w.cables {
		c.SetCut(false)
	}
	if err != nil {
		return err
	}
	start := time.Now()
	err = w.inSync(ctx)
	w.Printf("  the cable was cut; in sync %v after it was mended", time.Since(start).Round(time.Millisecond))
	return err
}

// rotateSecret replaces the link secret. For a while each file has the old one and the new one.
func (w *world) rotateSecret(ctx context.Context) error {
	fresh := w.dir + "/new.secret"
	if err := w.holdfastd(ctx, "secret", fresh); err != nil {
		return err
	}
	second, err := readFile(fresh)
	if err != nil {
		return err
	}
	first, err := w.read(w.pair[0], secretFile)
	if err != nil {
		return err
	}
	for _, text := range []string{first + second, second} {
		err := w.each(func(in *pair.Instance) error {
			if err := w.reloading(ctx, in, "replication.secret", func() error { return w.write(in, secretFile, text) }); err != nil {
				return err
			}
			return w.relink(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rotatePassword changes the password of a user at the servers and then in the files of its
// applications. In the worst case the applications lose their connections in between.
func (w *world) rotatePassword(ctx context.Context) error {
	if err := w.setPassword("orders"); err != nil {
		return err
	}
	err := w.changeUsers(ctx, func() error {
		return w.holdfastd(ctx, "user", "password", "-users", w.file(w.pair[0], usersFile), "orders", "-password-file", w.newPassword("orders"))
	})
	if err != nil {
		return err
	}
	apps := []*app{w.publisher("orders-1").app, w.publisher("orders-2").app}
	for _, a := range apps {
		a.cut()
	}
	for _, a := range apps {
		if err := w.await(ctx, "the refusal of the old password", a.refused); err != nil {
			return a.explain(err)
		}
	}
	before := []int64{apps[0].logons.Load(), apps[1].logons.Load()}
	start := time.Now()
	if err := w.handOut("orders"); err != nil {
		return err
	}
	for i, a := range apps {
		if err := w.await(ctx, "a logon with the new password", func() bool { return a.logons.Load() > before[i] }); err != nil {
			return a.explain(err)
		}
	}
	w.Printf("  the old password was refused; with the new one in their files both applications were back within %v", time.Since(start).Round(time.Millisecond))
	return nil
}

// outLimit is the time within which a removed user must be out: a second, and another one for a busy
// machine.
const outLimit = 2 * time.Second

// removeUser removes a user, whose messages then stay in its store, and adds it again.
func (w *world) removeUser(ctx context.Context) error {
	guest := w.publisher("guest")
	w.outages.exclude(guest, true)
	guest.lastLoss.Store(nil)
	var read []func() string
	for _, in := range w.pair {
		line, err := reloadLine(in, "clients.users")
		if err != nil {
			return err
		}
		read = append(read, line)
	}
	if err := w.holdfastd(ctx, "user", "remove", "-users", w.file(w.pair[0], usersFile), "guest"); err != nil {
		return err
	}
	start := time.Now()
	if err := w.copy(usersFile); err != nil {
		return err
	}
	// The guest may be on its way from one instance to the other, so both must have read the file.
	err := w.await(ctx, "the end of the guest's session", func() bool { return read[0]() != "" && read[1]() != "" && w.isOut("guest") })
	if err != nil {
		return err
	}
	out := time.Since(start)
	w.Printf("  the guest was out of both instances after %v", out.Round(time.Millisecond))
	if out > outLimit {
		return fmt.Errorf("a removed user was out after %v: at most %v is allowed", out, outLimit)
	}
	if err := w.await(ctx, "the refusal of the guest", guest.refused); err != nil {
		return guest.explain(err)
	}
	if err := w.keepsMessages(ctx, guest); err != nil {
		return err
	}
	return w.readmit(ctx, guest)
}

// isOut reports whether a user has no session on either instance.
func (w *world) isOut(user string) bool {
	for _, in := range w.pair {
		all, err := sessions(in)
		if err != nil {
			return false
		}
		for _, s := range all {
			if s.User == user {
				return false
			}
		}
	}
	return true
}

// keepsMessages checks that a publisher without access goes on publishing into its store, and that
// none of its messages is settled.
func (w *world) keepsMessages(ctx context.Context, p *publisher) error {
	published, settled := p.count()
	if err := w.sleep(ctx, time.Second); err != nil {
		return err
	}
	after, settledAfter := p.count()
	told, _ := p.reports()
	if after <= published || settledAfter != settled || len(told) > 0 || !w.isOut(p.user) {
		return fmt.Errorf("%s has published %d, then %d messages, of which %d, then %d are settled and %d were rejected: it should publish into its store only",
			p.name, published, after, settled, settledAfter, len(told))
	}
	w.Printf("  it goes on publishing, and its store keeps %d messages", after-settledAfter)
	return nil
}

// readmit adds a user again.
func (w *world) readmit(ctx context.Context, p *publisher) error {
	start := time.Now()
	published, _ := p.count()
	err := w.changeUsers(ctx, func() error {
		return w.holdfastd(ctx, "user", "add", "-users", w.file(w.pair[0], usersFile), p.user, "-password-file", w.newPassword(p.user),
			"-client-name", p.name, "-publish", "^guest/")
	})
	if err != nil {
		return err
	}
	err = w.await(ctx, "the messages of the guest", func() bool {
		_, settled := p.count()
		return settled >= published
	})
	w.Printf("  it is back; the messages of its store were acknowledged %v after the change", time.Since(start).Round(time.Millisecond))
	w.outages.exclude(p, false)
	return p.explain(err)
}

// revoke takes a permission from a user, whose messages are then rejected, and grants it again.
func (w *world) revoke(ctx context.Context) error {
	prices := w.publisher("prices")
	first, _ := prices.count()
	err := w.changeUsers(ctx, func() error {
		return w.setRules("prices", "    publish: {allow: ['^prices/'], deny: ['^prices/metals$']}\n")
	})
	if err != nil {
		return err
	}
	if err := w.await(ctx, "a rejected message", func() bool { told, _ := prices.reports(); return len(told) >= 10 }); err != nil {
		return err
	}
	err = w.changeUsers(ctx, func() error { return w.setRules("prices", "    publish: {allow: ['^prices/']}\n") })
	if err != nil {
		return err
	}
	// All that was published before has an ack or a report once a later message has one.
	if err := w.acked(ctx, prices); err != nil {
		return err
	}
	last, _ := prices.count()
	told, _ := prices.reports()
	if err := w.acked(ctx, prices); err != nil {
		return err
	}
	if later, _ := prices.reports(); len(later) != len(told) {
		return fmt.Errorf("%d messages were rejected after the permission was granted again", len(later)-len(told))
	}
	for key := range told {
		n, err := strconv.Atoi(key)
		if topic := prices.topics[n%2]; err != nil || n < first || n > last || topic != "prices/metals" {
			return fmt.Errorf("message %s, to %s, was rejected: only %d to %d to prices/metals may be", key, topic, first, last)
		}
	}
	w.Printf("  %d messages to prices/metals were rejected, and reported", len(told))
	return nil
}

// rotateToken replaces the token of the admin port.
func (w *world) rotateToken(ctx context.Context) error {
	token := newToken()
	return w.each(func(in *pair.Instance) error {
		if err := w.reloading(ctx, in, "admin.token", func() error { return w.write(in, tokenFile, token) }); err != nil {
			return err
		}
		if _, err := in.Get("/status"); err == nil || !strings.Contains(err.Error(), "401") {
			return fmt.Errorf("a request with the old token: %v", err)
		}
		if err := w.setAdmin(in); err != nil {
			return err
		}
		_, err := in.Get("/status")
		return err
	})
}

func (w *world) killA(ctx context.Context) error {
	if err := w.pair[0].Kill(); err != nil {
		return err
	}
	if err := w.pair[0].Start(ctx); err != nil {
		return err
	}
	return w.inSync(ctx)
}

func (w *world) restartB(ctx context.Context) error {
	if err := w.restart(ctx, w.pair[1]); err != nil {
		return err
	}
	return w.inSync(ctx)
}
