package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// switchOn protects a pair that runs without any protection, step by step.
func (w *world) switchOn(ctx context.Context) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"links get a secret", w.addSecret},
		{"links get TLS", w.addLinkTLS},
		{"applications learn tcps", w.learnTCPS},
		{"clients and operators get TLS, operators a token", w.addClientTLS},
		{"applications insist on tcps", w.insistOnTCPS},
		{"a gets users, and applications without a user move to b", w.addUsersToA},
		{"applications get credentials, and move to a", w.addCredentials},
		{"b gets users", w.addUsersToB},
		{"publishers belong to their users", w.checkOwners},
		{"permissions become restrictive", w.restrict},
	} {
		if err := w.step(ctx, s.name, func() error { return s.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// addSecret gives the links a secret. Between the two restarts the instances have no link.
func (w *world) addSecret(ctx context.Context) error {
	if err := w.holdfastd(ctx, "secret", w.file(w.pair[0], secretFile)); err != nil {
		return err
	}
	if err := w.copy(secretFile); err != nil {
		return err
	}
	w.settings.secret = true
	return w.restartUnlinked(ctx)
}

// addLinkTLS gives the links TLS. Between the two restarts the instances have no link.
func (w *world) addLinkTLS(ctx context.Context) error {
	err := w.each(func(in *pair.Instance) error {
		return errors.Join(w.certify(in, w.links, linkCert, linkKey), w.write(in, linkCA, w.links.pem()))
	})
	if err != nil {
		return err
	}
	w.settings.linkTLS = true
	return w.restartUnlinked(ctx)
}

// restartUnlinked restarts a, which cannot link with b then, and b once a serves clients. In between
// some applications move to a, as they may at any time, so that both instances take messages.
func (w *world) restartUnlinked(ctx context.Context) error {
	if err := w.restart(ctx, w.pair[0]); err != nil {
		return err
	}
	if err := w.reconnect(ctx, w.publisher("orders-1").app, w.publisher("prices").app, w.subscribers[1].app); err != nil {
		return err
	}
	if err := w.sleep(ctx, w.pause); err != nil {
		return err
	}
	for _, in := range w.pair {
		if s, ok := in.Status(); !ok || len(s.Links) != 1 || s.Links[0].State != "down" {
			return fmt.Errorf("%s should serve clients without a link: %+v", in.Name, s)
		}
	}
	w.Printf("  both serve clients, and have no link")
	if err := w.restart(ctx, w.pair[1]); err != nil {
		return err
	}
	return w.inSync(ctx)
}

// rolling restarts the instances one after the other. Before each one the pair is in sync.
func (w *world) rolling(ctx context.Context) error {
	return w.each(func(in *pair.Instance) error {
		if err := w.inSync(ctx); err != nil {
			return err
		}
		if err := w.restart(ctx, in); err != nil {
			return err
		}
		return w.inSync(ctx)
	})
}

// learnTCPS restarts the applications with both URIs of each instance. Those with tcps fail until the
// instance has TLS.
func (w *world) learnTCPS(ctx context.Context) error {
	for _, a := range w.apps() {
		if err := replace(a.file(rootsFile), w.servers.pem()); err != nil {
			return err
		}
		if a.byCert {
			if err := certifyApp(a, w.clients); err != nil {
				return err
			}
		}
	}
	w.access.schemes = []string{"tcps", "tcp"}
	return w.restartApps(ctx)
}

// certifyApp gives an application a certificate of its user.
func certifyApp(a *app, by *authority) error {
	cert, key, err := by.issue(a.user)
	if err != nil {
		return err
	}
	return errors.Join(replace(a.file(keyFile), key), replace(a.file(certFile), cert))
}

// addClientTLS gives the ports for clients and operators TLS, and operators a token.
func (w *world) addClientTLS(ctx context.Context) error {
	token := newToken()
	err := w.each(func(in *pair.Instance) error {
		return errors.Join(w.certify(in, w.servers, serverCert, serverKey), w.write(in, clientCA, w.clients.pem()), w.write(in, tokenFile, token))
	})
	if err != nil {
		return err
	}
	w.settings.clientTLS = true
	if err := w.rolling(ctx); err != nil {
		return err
	}
	return w.onlySessions(ctx, "TLS", func(s session) bool { return s.TLS == "TLS 1.3" })
}

// newToken returns the content of a token file.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b) + "\n"
}

// A session is the part of a session's status that the drill reads.
type session struct {
	Name string `json:"name"`
	User string `json:"user"`
	TLS  string `json:"tls"`
}

// sessions returns the sessions of an instance.
func sessions(in *pair.Instance) ([]session, error) {
	var s struct {
		Sessions []session `json:"sessions"`
	}
	text, err := in.Get("/status")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s.Sessions, err
}

// onlySessions waits until all applications have sessions of a kind, and no others.
func (w *world) onlySessions(ctx context.Context, kind string, of func(session) bool) error {
	return w.await(ctx, "all sessions to have "+kind, func() bool {
		n := 0
		for _, in := range w.pair {
			all, err := sessions(in)
			if err != nil {
				return false
			}
			for _, s := range all {
				if !of(s) {
					return false
				}
				n++
			}
		}
		return n == len(w.apps())
	})
}

func (w *world) insistOnTCPS(ctx context.Context) error {
	w.access.schemes = []string{"tcps"}
	return w.restartApps(ctx)
}

// addUsersToA makes the users, who may do everything, and restarts a with them.
func (w *world) addUsersToA(ctx context.Context) error {
	for _, u := range []struct {
		name, clientName string
		byCert           bool
	}{{"orders", "^orders-", false}, {"prices", "prices", true}, {"guest", "guest", false}, {"audit", "audit", false}, {"desk", "^desk", false}} {
		args := []string{"user", "add", "-users", w.file(w.pair[0], usersFile), u.name, "-client-name", u.clientName, "-publish", ".*", "-subscribe", ".*"}
		if u.byCert {
			args = append(args, "-cert", u.name)
		} else {
			if err := w.setPassword(u.name); err != nil {
				return err
			}
			args = append(args, "-password-file", w.newPassword(u.name))
		}
		if err := w.holdfastd(ctx, args...); err != nil {
			return err
		}
	}
	if err := w.copy(usersFile); err != nil {
		return err
	}
	w.settings.users = true
	if err := w.restart(ctx, w.pair[0]); err != nil {
		return err
	}
	return w.inSync(ctx)
}

// newPassword returns the path of the file with the present password of a user, as an operator has it.
func (w *world) newPassword(user string) string { return w.dir + "/password-of-" + user }

// setPassword makes a new password of a user. Applications do not have it yet.
func (w *world) setPassword(user string) error { return replace(w.newPassword(user), newToken()) }

// handOut gives the applications of a user its present password.
func (w *world) handOut(user string) error {
	for _, a := range w.apps() {
		if a.user != user || a.byCert {
			continue
		}
		text, err := readFile(w.newPassword(user))
		if err != nil {
			return err
		}
		if err := replace(a.file(passwordFile), text); err != nil {
			return err
		}
	}
	return nil
}

// addCredentials restarts the applications with credentials. SCRAM needs an instance with users, so
// those with a password can be on a only, until b has users.
func (w *world) addCredentials(ctx context.Context) error {
	for _, user := range []string{"orders", "guest", "audit", "desk"} {
		if err := w.handOut(user); err != nil {
			return err
		}
	}
	w.access.passwords = true
	return w.restartApps(ctx)
}

func (w *world) addUsersToB(ctx context.Context) error {
	if err := w.restart(ctx, w.pair[1]); err != nil {
		return err
	}
	if err := w.inSync(ctx); err != nil {
		return err
	}
	return w.onlySessions(ctx, "users", func(s session) bool { return s.User != "" })
}

// checkOwners checks that each publisher has become that of its user, on both instances, although its
// first records have no user.
func (w *world) checkOwners(ctx context.Context) error {
	want := map[string]int{"orders": 2, "prices": 1, "guest": 1}
	return w.each(func(in *pair.Instance) error {
		owners := make(map[string]int)
		return w.await(ctx, "the owners of publishers", func() bool {
			var page struct {
				Publishers []struct {
					Owner string `json:"owner"`
				} `json:"publishers"`
			}
			text, err := in.Get("/publishers")
			if err != nil || json.Unmarshal(text, &page) != nil {
				return false
			}
			clear(owners)
			for _, p := range page.Publishers {
				owners[p.Owner]++
			}
			return fmt.Sprint(owners) == fmt.Sprint(want)
		})
	})
}

// restrict gives the users the permissions that they need.
func (w *world) restrict(ctx context.Context) error {
	rules := map[string]string{
		"orders": "    publish: {allow: ['^orders/']}\n", "prices": "    publish: {allow: ['^prices/']}\n",
		"guest": "    publish: {allow: ['^guest/']}\n",
		"audit": "    subscribe: {allow: ['^(orders|prices|guest)/']}\n", "desk": "    subscribe: {allow: ['^orders/']}\n",
	}
	err := w.changeUsers(ctx, func() error {
		for user, text := range rules {
			if err := w.setRules(user, text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.restricted = make(map[string]int)
	for _, p := range w.publishers {
		w.restricted[p.name], _ = p.count()
	}
	return w.probe(ctx, "desk", client.ErrNotEntitled)
}

// changeUsers changes the file of users of a, and then copies it to b.
func (w *world) changeUsers(ctx context.Context, change func() error) error {
	if err := w.reloading(ctx, w.pair[0], "clients.users", change); err != nil {
		return err
	}
	return w.reloading(ctx, w.pair[1], "clients.users", func() error { return w.copy(usersFile) })
}

// probe logs a user on and subscribes to prices, at each instance. It returns an error unless the
// attempt ends with want.
func (w *world) probe(ctx context.Context, user string, want error) error {
	return w.each(func(in *pair.Instance) error {
		a := &app{name: user + "-probe", user: user, dir: w.appOf(user).dir, servers: []string{in.ClientAddress}}
		cfg, err := a.config(w.access)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		c, err := client.Dial(ctx, cfg)
		if err == nil {
			defer c.Close()
			_, err = c.Subscribe(ctx, "prices/fx")
		}
		if !errors.Is(err, want) {
			return fmt.Errorf("%s subscribes to prices: %v, and not %v", user, err, want)
		}
		return nil
	})
}

// appOf returns an application of a user.
func (w *world) appOf(user string) *app {
	for _, a := range w.apps() {
		if a.user == user {
			return a
		}
	}
	panic("no application of " + user)
}
