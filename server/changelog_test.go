package server_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/users"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// The log says which part of a certificate's files was replaced.
func TestLogOfReplacedCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, other, log, dir := servertest.NewCA(t), servertest.NewCA(t), new(recording), t.TempDir()
		cert, key, authority := ca.Files(dir, "a")
		_, _, otherAuthority := other.Files(t.TempDir(), "a")
		i := servertest.New(t, logged(log), servertest.Config(func(c *server.Config) {
			c.Clients.TLS = &server.PortTLS{Cert: cert, Key: key, ClientCA: authority}
		}))
		text, err := os.ReadFile(authority)
		more, err2 := os.ReadFile(otherAuthority)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			do   func()
			want string
		}{
			{func() { write(t, authority, string(text)+string(more)) }, "authorities replaced"},
			{func() { write(t, authority, string(text)+string(more)) }, "certificate read again, nothing has changed"},
			{func() { ca.Files(dir, "a"); write(t, authority, string(text)+string(more)) }, "certificate replaced"},
			{func() { ca.Files(dir, "a") }, "certificate and authorities replaced"},
		} {
			synctest.Wait()
			before := len(log.lines("clients.tls"))
			step.do()
			if err := i.Server().Reload(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if lines := log.lines("clients.tls"); len(lines) != before+1 || !strings.Contains(lines[before], `msg="`+step.want+`"`) {
				t.Errorf("want %q, got %q", step.want, lines[before:])
			}
		}
	})
}

// A file of users with the same permissions is no change of permissions. Another one is logged with its hash.
func TestLogOfPermissions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, file := new(recording), filepath.Join(t.TempDir(), "users.yaml")
		if err := users.Add(file, users.NewUser{Name: "feed", Cert: "feed", Publish: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		i := servertest.New(t, logged(log), servertest.Config(toFile), servertest.Config(func(c *server.Config) { c.Clients.Users = file }))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text)+"# a comment\n")
		time.Sleep(2 * time.Second)
		if n, lines := len(log.lines("file read again")), log.lines("permissions of users have changed"); n != 1 || len(lines) > 0 {
			t.Errorf("%d reads, %q", n, lines)
		}
		if err := users.SetRules(file, "feed", users.NewRules{Publish: []string{"b"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		hash := i.Server().Status().Users.Hash
		if lines := log.lines("permissions of users have changed"); len(lines) != 1 || !strings.Contains(lines[0], "permissions=2 hash="+hash) {
			t.Errorf("the lines are %q", lines)
		}
		wantAudited(t, i, "reload done=true what=clients.users", "reload done=true what=clients.users", "permissions_changed after=2 before=1 hash="+hash)
	})
}

// The log names the user and the client name of a logon that was refused because of the name.
func TestLogOfRefusedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(recording)
		pair := servertest.NewPair(t, servertest.Users(gateway), logged(log))
		if _, err := app(t, pair, "other", client.SCRAM("gateway", "correct horse")); !errors.Is(err, client.ErrNotEntitled) {
			t.Fatal(err)
		}
		synctest.Wait()
		lines := log.lines(`msg="logon refused"`)
		if len(lines) == 0 || !strings.Contains(lines[0], `client=other user=gateway reason="not entitled"`) {
			t.Errorf("the lines are %q", lines)
		}
	})
}

// A user with the store of another one is told so by an error of its own.
func TestStoreOfOtherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := servertest.NewPair(t, servertest.Users(gateway, feed))
		cfg := pair.Client("gateway-1")
		cfg.Authenticator, cfg.PublishStore = client.SCRAM("gateway", "correct horse"), pubstore.NewMemory(pubstore.MemoryOptions{})
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Publish(t.Context(), "orders/1", nil); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.FlushSafe(t.Context()), c.Close()); err != nil {
			t.Fatal(err)
		}
		cfg.Authenticator = client.SCRAM("feed", "battery staple")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if c, err = client.Dial(ctx, cfg); !errors.Is(err, client.ErrOtherOwner) {
			t.Errorf("the error is %v", err)
		}
		if err == nil {
			c.Close()
		}
	})
}

// The log warns of insecure: true beside a protection.
func TestLogOfInsecure(t *testing.T) {
	for _, protected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			log := new(recording)
			servertest.NewPair(t, logged(log), servertest.Config(func(c *server.Config) {
				c.Clients.Insecure, c.Replication.Insecure = true, true
				c.Admin = server.AdminPort{Listen: c.Name + ":8085", Insecure: true}
				if protected {
					c.Authenticator = asks(nil)
					c.Admin.BearerToken = "0123456789abcdef"
				} else {
					c.Replication.SecretKey = nil
				}
			}))
			want := 0
			if protected {
				want = 6
			}
			synctest.Wait()
			if lines := log.lines("insecure: true has no effect"); len(lines) != want {
				t.Errorf("protected %v: %q", protected, lines)
			}
		})
	}
}
