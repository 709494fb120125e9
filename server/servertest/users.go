package servertest

import (
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/users"
)

// A User may log on to servers with the option [Users]. The patterns are topics or regular
// expressions, as in server.LogConfig.Topics; [".*"] allows all of them, and none allows nothing.
type User struct {
	Name        string
	Password    string   // for client.SCRAM and client.Password; may be empty with a Cert
	Cert        string   // name in the client certificate that authenticates the user; empty: none
	ClientNames []string // client names that the user may log on with; nil: any
	Publish     []string // topics that the user may publish to
	Subscribe   []string // topics that the user may subscribe to
}

// Users makes the servers admit only these users, with their permissions. Clients need
// credentials, see client.Config.Authenticator. [Pair.SetUsers] and [Instance.SetUsers] change the
// users while the servers run.
func Users(all ...User) Option {
	return func(o *options) { o.users = append([]User{}, all...) }
}

// usersFile writes the users to a new file and returns its path.
func (w *world) usersFile(all []User) string {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "users.yaml")
	w.writeUsers(file, nil, all)
	return file
}

// writeUsers replaces the users of a file.
func (w *world) writeUsers(file string, old, all []User) {
	w.t.Helper()
	for _, u := range old {
		if err := users.Remove(file, u.Name); err != nil {
			w.t.Fatalf("servertest: remove user %s: %v", u.Name, err)
		}
	}
	for _, u := range all {
		err := users.Add(file, users.NewUser{
			Name: u.Name, Password: users.Password{Text: u.Password}, Cert: u.Cert,
			ClientNames: u.ClientNames, Publish: u.Publish, Subscribe: u.Subscribe,
		})
		if err != nil {
			w.t.Fatalf("servertest: add user %s: %v", u.Name, err)
		}
	}
}

// SetUsers replaces the users of the servers that share this server's option Users, and has this
// server apply them at once. The other one of a pair applies them within a second.
func (i *Instance) SetUsers(all ...User) {
	i.t.Helper()
	if i.cfg.Clients.Users == "" {
		i.t.Fatalf("servertest: SetUsers needs the option Users")
	}
	i.writeUsers(i.cfg.Clients.Users, i.opts.users, all)
	i.opts.users = all
	i.applyUsers()
}

func (i *Instance) applyUsers() {
	i.t.Helper()
	if i.srv == nil {
		return
	}
	if err := i.srv.Reload(); err != nil {
		i.t.Fatalf("servertest: apply the users: %v", err)
	}
}

// SetUsers replaces the users of both servers, which apply them at once.
func (p *Pair) SetUsers(all ...User) {
	p.A.t.Helper()
	p.A.SetUsers(all...)
	p.B.applyUsers()
}
