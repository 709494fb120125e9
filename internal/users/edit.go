package users

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/scram"
)

// A NewUser is a user to add.
type NewUser struct {
	Name        string
	Password    Password
	Cert        string   // empty: no client certificate
	ClientNames []string // patterns; empty: any
	Publish     []string // patterns of allow
	Subscribe   []string // patterns of allow
}

// A Password is a new password.
type Password struct {
	Text     string // empty: no password
	Argon2id bool   // also write a hash, for clients that send the password as it is
}

// check returns an error if the text cannot be a password. The error does not quote it.
func (p Password) check() error { return scram.CheckText("password", p.Text) }

// Add adds a user to a file and raises its version. It makes the file if it does not exist. It keeps
// the text of the rest of the file as it is, and so do Remove and SetPassword. Two changes of a file
// at once wait for each other; with an error the file is as before.
func Add(file string, n NewUser) error {
	if err := n.check(); err != nil {
		return err
	}
	err := change(file, func(s *Set, e *editor) ([]*User, error) {
		if _, found := s.User(n.Name); found {
			return nil, fmt.Errorf("%s: there is a user %q already: holdfastd user password sets another password", file, n.Name)
		}
		u, err := e.add(n)
		return append(slices.Clone(s.users), u), err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return create(file, n)
	}
	return err
}

// check returns an error if a user cannot be added.
func (n NewUser) check() error {
	err := checkName("name", n.Name)
	if n.Password.Text != "" || n.Cert == "" {
		err = errors.Join(err, n.Password.check())
	}
	if n.Cert != "" {
		err = errors.Join(err, checkName("name of the certificate", n.Cert))
	}
	for _, texts := range [][]string{n.ClientNames, n.Publish, n.Subscribe} {
		if _, bad, perr := newPatternList(texts); perr != nil {
			err = errors.Join(err, fmt.Errorf("pattern %q: %w", texts[bad], perr))
		}
		for _, text := range texts {
			if text != "" {
				err = errors.Join(err, scram.CheckText("pattern", text))
			}
		}
	}
	return err
}

// Remove removes a user from a file, with the comment lines directly above the user, and raises the
// version.
func Remove(file, name string) error {
	return change(file, func(s *Set, e *editor) ([]*User, error) {
		i, err := s.index(file, name)
		if err != nil {
			return nil, err
		}
		e.remove(i)
		return slices.Delete(slices.Clone(s.users), i, i+1), nil
	})
}

// SetPassword sets another password of a user, and raises the version. A user that has an argon2id
// hash gets a new one, too.
func SetPassword(file, name string, p Password) error {
	if err := p.check(); err != nil {
		return err
	}
	return change(file, func(s *Set, e *editor) ([]*User, error) {
		i, err := s.index(file, name)
		if err != nil {
			return nil, err
		}
		u := *s.users[i]
		p.Argon2id = p.Argon2id || len(u.argon2id.hash) > 0
		p.set(&u)
		err = e.set(i, "scram", u.verifier.String())
		if err == nil && p.Argon2id {
			err = e.set(i, "argon2id", u.argon2id.String())
		}
		all := slices.Clone(s.users)
		all[i] = &u
		return all, err
	})
}

// set makes the credentials of a user.
func (p Password) set(u *User) {
	u.verifier = scram.NewVerifier(p.Text, newIterations)
	if p.Argon2id {
		u.argon2id = newArgon2id(p.Text)
	}
}

// index returns the index of a user.
func (s *Set) index(file, name string) (int, error) {
	i := slices.IndexFunc(s.users, func(u *User) bool { return u.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("%s: there is no user %q: holdfastd user list shows all", file, name)
	}
	return i, nil
}

// change changes a file. edit changes its text, and returns the users that the text should have then.
func change(file string, edit func(*Set, *editor) ([]*User, error)) error {
	target, release, err := lock(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: holdfastd user add makes it", file, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("change the users: %w", err)
	}
	defer release()
	before := stateOf(target)
	text, err := read(target)
	if err != nil {
		return err
	}
	old, tree, err := parseTree(target, text)
	if err != nil {
		return err
	}
	e, err := newEditor(target, text, tree)
	if err != nil {
		return err
	}
	want, err := edit(old, e)
	if err == nil {
		err = e.raiseVersion(old.version)
	}
	if err != nil {
		return err
	}
	if err := checkEdit(target, e.text(), old, want); err != nil {
		return err
	}
	return replace(target, e.text(), before)
}

// checkEdit checks that a changed text means the wanted change and nothing else.
func checkEdit(file, text string, old *Set, want []*User) error {
	set, err := parse(file, []byte(text))
	if err != nil {
		return fmt.Errorf("the change would make the file unusable, so it was not made: %w", err)
	}
	same := slices.EqualFunc(set.users, want, func(a, b *User) bool { return reflect.DeepEqual(a, b) })
	if !same || !slices.Equal(set.saltKey, old.saltKey) || set.version <= old.version && !failpoint.On(failpoint.UsersVersionKept) {
		return formError(file)
	}
	return nil
}

// formError reports a file that is good, but that an editor does not understand.
func formError(file string) error {
	return fmt.Errorf("%s is written in a form that this command cannot change: write each user as a list entry with one field per line, or change the file in a text editor", file)
}

// create makes a file with one user.
func create(file string, n NewUser) error {
	key := make([]byte, saltKeyBytes)
	rand.Read(key) // never fails
	text := "# Users of holdfastd. Only its owner may read this file. holdfastd user changes it.\n" +
		"version: 1\nsalt_key: " + base64.StdEncoding.EncodeToString(key) + " # secret; the same on all instances of the group\nusers:\n"
	_, tree, err := parseTree(file, []byte(text))
	if err != nil {
		return err
	}
	e, err := newEditor(file, []byte(text), tree)
	if err != nil {
		return err
	}
	u, err := e.add(n)
	if err != nil {
		return err
	}
	set, err := parse(file, []byte(e.text()))
	if err != nil || !reflect.DeepEqual(set.users, []*User{u}) {
		return errors.Join(fmt.Errorf("%s cannot be made", file), err)
	}
	return createFile(file, e.text())
}

// user returns the user that a file with the new one has.
func (n NewUser) user() (*User, error) {
	u := &User{Name: n.Name, cert: n.Cert}
	if n.Password.Text != "" {
		n.Password.set(u)
	}
	var errs [4]error
	names := n.ClientNames
	if len(names) == 0 {
		names = []string{".*"}
	}
	u.ClientNames.allow, _, errs[0] = newPatternList(names)
	u.Publish.allow, _, errs[1] = newPatternList(append([]string{}, n.Publish...))
	u.Subscribe.allow, _, errs[2] = newPatternList(append([]string{}, n.Subscribe...))
	for _, r := range []*Rules{&u.ClientNames, &u.Publish, &u.Subscribe} {
		r.deny, _, errs[3] = newPatternList([]string{})
	}
	return u, errors.Join(errs[:]...)
}

// raiseVersion writes the next version.
func (e *editor) raiseVersion(version uint64) error {
	if failpoint.On(failpoint.UsersVersionKept) {
		return nil
	}
	if version == math.MaxInt64 {
		return fmt.Errorf("%s: the version is the largest possible: write a smaller one on all instances", e.file)
	}
	return e.setScalar(e.root["version"], strconv.FormatUint(version+1, 10))
}
