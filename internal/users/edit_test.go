package users_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/users"
)

var update = flag.Bool("update", false, "write the golden files anew")

// write writes a users file that only its owner can access.
func write(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustLoad(t *testing.T, file string) *users.Set {
	t.Helper()
	s, err := users.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// secrets are the parts of a file that differ with each run.
var secrets = regexp.MustCompile(`[A-Za-z0-9+/]{22,}=*`)

const (
	saltKey = "salt_key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
	// scramText and argon2Text are credentials of the password "pencil".
	scramText  = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	argon2Text = "$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$PvBJfRnIgcuSI9nlrd54mmiyHG6kR4TUgTvamW3ICWg"
)

// handmade is a file with each form that people write.
const handmade = `# Users of the pair. Ask the trading desk before you change it.
version: 41 # 41
` + saltKey + `
users:

  # The gateway
  # of the orders.
  - name: gateway   # a robot
    scram: "` + scramText + `"  # of 2026
    publish:
      allow:
        - "^orders/"   # all
      deny: ["^orders/admin"]

  # The report
  - scram: ` + scramText + `
    name: 'report''s'
    subscribe: {allow: ["^prices/",
      "^orders/"]}
  - {name: flow, scram: '` + scramText + `', admin: true} # short
  # below all
`

// The changes of a file keep the text of its rest.
func TestEditKeepsTheRest(t *testing.T) {
	file := write(t, handmade)
	steps := []struct {
		name string
		do   func() error
	}{
		{"add", func() error {
			return users.Add(file, users.NewUser{Name: "it's new", Password: users.Password{Text: "secret", Argon2id: true}, Cert: "new.example",
				ClientNames: []string{`^new-\d+$`}, Publish: []string{"a", "^b's"}, Subscribe: []string{".*"}})
		}},
		{"password in a block", func() error { return users.SetPassword(file, "report's", users.Password{Text: "secret"}) }},
		{"hash in a block", func() error {
			return users.SetPassword(file, "gateway", users.Password{Text: "secret", Argon2id: true})
		}},
		{"hash in brackets", func() error { return users.SetPassword(file, "flow", users.Password{Text: "secret", Argon2id: true}) }},
		{"rules in lines", func() error {
			return users.SetRules(file, "gateway", users.NewRules{Publish: []string{"^orders/eu/", "it's"}, Subscribe: []string{"^prices/"}, ClientNames: []string{"^gw-"}})
		}},
		{"rules on several lines", func() error {
			return users.SetRules(file, "report's", users.NewRules{Subscribe: []string{"^prices/"}, DenySubscribe: []string{"^prices/secret"}})
		}},
		{"no rules", func() error {
			return users.SetRules(file, "gateway", users.NewRules{Publish: []string{""}, DenyPublish: []string{""}, ClientNames: []string{""}})
		}},
		{"remove in the middle", func() error { return users.Remove(file, "report's") }},
		{"remove the first", func() error { return users.Remove(file, "gateway") }},
		{"remove the last", func() error { return users.Remove(file, "it's new") }},
		{"remove the only one", func() error { return users.Remove(file, "flow") }},
		{"add to none", func() error {
			return users.Add(file, users.NewUser{Name: "cert only", Cert: "c"})
		}},
	}
	var got strings.Builder
	version := mustLoad(t, file).Version()
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		fmt.Fprintf(&got, "===== %s\n%s", step.name, secrets.ReplaceAllString(readFile(t, file), "SECRET"))
		if now := mustLoad(t, file).Version(); now != version+1 {
			t.Errorf("%s: version %d, want %d", step.name, now, version+1)
		}
		version++
	}
	golden := filepath.Join("testdata", "edited.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, golden); got.String() != want {
		t.Errorf("the texts are\n%s\nwant\n%s", got.String(), want)
	}
	leftovers, err := filepath.Glob(file + "*")
	if err != nil || len(leftovers) != 1 {
		t.Errorf("files %v, %v", leftovers, err)
	}
}

// The first user makes the file, with a key of its own, and only for its owner.
func TestFirstUserMakesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	if err := users.Remove(file, "a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("remove: %v", err)
	}
	if err := users.Add(file, users.NewUser{Name: "a", Password: users.Password{Text: "pass"}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if s := mustLoad(t, file); s.Version() != 1 || len(s.All()) != 1 {
		t.Errorf("version %d with %d users", s.Version(), len(s.All()))
	}
	if text := readFile(t, file); strings.Contains(text, "pass") {
		t.Errorf("the file has the password:\n%s", text)
	}
	other := filepath.Join(t.TempDir(), "users.yaml")
	if err := users.Add(other, users.NewUser{Name: "a", Password: users.Password{Text: "pass"}}); err != nil {
		t.Fatal(err)
	}
	key := func(file string) string {
		_, rest, _ := strings.Cut(readFile(t, file), "salt_key: ")
		return rest[:44]
	}
	if key(file) == key(other) {
		t.Error("two files have one salt key")
	}
}

// A replaced file keeps its mode, and a link to it stays a link.
func TestEditKeepsModeAndLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes there")
	}
	file := write(t, handmade)
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := errors.Join(os.Chmod(file, 0o400), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if err := users.Remove(link, "flow"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if target, err := os.Readlink(link); err != nil || target != file {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, found := mustLoad(t, file).User("flow"); found {
		t.Error("the user is still there")
	}
}

// Changes that cannot be made leave the file as it is and say why.
func TestEditRefuses(t *testing.T) {
	flow := "version: 1\n" + saltKey + "users: [{name: a, cert: a}]\n"
	add := func(n users.NewUser) func(string) error {
		return func(file string) error { return users.Add(file, n) }
	}
	password := users.Password{Text: "p"}
	permit := func(name string, n users.NewRules) func(string) error {
		return func(file string) error { return users.SetRules(file, name, n) }
	}
	for _, tt := range []struct {
		name, text string
		do         func(file string) error
		want       string
	}{
		{"name in use", handmade, add(users.NewUser{Name: "gateway", Password: password}), "there is a user \"gateway\" already"},
		{"no such user", handmade, func(file string) error { return users.Remove(file, "x") }, "there is no user \"x\""},
		{"no such user for a password", handmade, func(file string) error { return users.SetPassword(file, "x", password) }, "there is no user \"x\""},
		{"no password", handmade, add(users.NewUser{Name: "x"}), "the password is empty"},
		{"control character", handmade, add(users.NewUser{Name: "x", Password: users.Password{Text: "a\tb"}}), "the password has a control character"},
		{"no name", handmade, add(users.NewUser{Password: password}), "the name is empty"},
		{"long name", handmade, add(users.NewUser{Name: strings.Repeat("x", 257), Password: password}), "the maximum 256"},
		{"turning name", handmade, add(users.NewUser{Name: "a\u202eb", Password: password}), "direction of text"},
		{"bad pattern", handmade, add(users.NewUser{Name: "x", Password: password, Publish: []string{"ok", "("}}), `pattern "(": bad regex topic`},
		{"empty pattern", handmade, add(users.NewUser{Name: "x", Password: password, Subscribe: []string{""}}), `pattern "": is empty`},
		{"certificate in use", strings.Replace(handmade, "admin: true", "cert: c", 1), add(users.NewUser{Name: "x", Cert: "c"}), `"c" is the certificate of user "flow", too`},
		{"list in brackets", flow, func(file string) error { return users.Remove(file, "a") }, "in a form that this command cannot change"},
		{"add to a list in brackets", flow, add(users.NewUser{Name: "x", Password: password}), "in a form that this command cannot change"},
		{"value over two lines", "version:\n  1\n" + saltKey + "users:\n- name: a\n  scram: >-\n      " + scramText + "\n",
			func(file string) error { return users.SetPassword(file, "a", password) }, "is not written as one value on one line"},
		{"rules of no user", handmade, permit("x", users.NewRules{Publish: []string{"a"}}), "there is no user \"x\""},
		{"rules with a bad pattern", handmade, permit("gateway", users.NewRules{DenyPublish: []string{"("}}), `pattern "(": bad regex topic`},
		{"rules with an empty pattern", handmade, permit("gateway", users.NewRules{Publish: []string{"a", ""}}), `pattern "": is empty`},
		{"rules with a control character", handmade, permit("gateway", users.NewRules{Publish: []string{"a\nb"}}), "control character"},
		{"rules in brackets", handmade, permit("flow", users.NewRules{Publish: []string{"a"}}), "in a form that this command cannot change"},
		{"unusable file", "version: 1\n", add(users.NewUser{Name: "x", Password: password}), "salt_key is missing"},
		{"last version", strings.Replace(handmade, "41", "9223372036854775807", 1), func(file string) error { return users.Remove(file, "flow") }, "the largest possible"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.text)
			err := tt.do(file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if got := readFile(t, file); got != tt.text {
				t.Errorf("the file has changed:\n%s", got)
			}
		})
	}
}

// A file with the line ends of Windows keeps them.
func TestEditLineEnds(t *testing.T) {
	file := write(t, strings.ReplaceAll(handmade, "\n", "\r\n"))
	err := errors.Join(
		users.Add(file, users.NewUser{Name: "x", Password: users.Password{Text: "p"}, Publish: []string{"a"}}),
		users.SetPassword(file, "gateway", users.Password{Text: "p", Argon2id: true}),
		users.SetRules(file, "gateway", users.NewRules{Publish: []string{"a"}, Subscribe: []string{"b"}}),
		users.Remove(file, "flow"),
	)
	if text := readFile(t, file); err != nil || strings.Count(text, "\n") != strings.Count(text, "\r\n") {
		t.Errorf("%v\n%q", err, text)
	}
}

// Commands that change one file at once wait for each other, and no change is lost.
func TestEditsAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are not locked there")
	}
	file := write(t, handmade)
	const each, n = 4, 8
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for j := range each {
				if err := users.Add(file, users.NewUser{Name: fmt.Sprint(i, "-", j), Cert: fmt.Sprint(i, "-", j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if s := mustLoad(t, file); len(s.All()) != 3+n*each || s.Version() != 41+n*each {
		t.Errorf("version %d with %d users", s.Version(), len(s.All()))
	}
}

// Any user that Add accepts is in the file as it was given, and can be removed without a trace.
func TestEditAnyUser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	rapid.Check(t, func(r *rapid.T) {
		if err := os.WriteFile(file, []byte(handmade), 0o600); err != nil {
			r.Fatal(err)
		}
		patterns := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"^a'b", `"`, "#", ": ", "- x", "{", "~", "null", `\.`, " "})), 0, 3)
		n := users.NewUser{
			Name: rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"123", "true", "null", "~", "- a", "a: b", "#", "'", `\`, "a ", " a", "ÿ\u2028"})).Draw(r, "name"),
			Cert: "c", Publish: patterns.Draw(r, "publish"), Subscribe: patterns.Draw(r, "subscribe"),
		}
		if err := users.Add(file, n); err != nil {
			return // TestEditRefuses has the causes
		}
		s, err := users.Load(file)
		if err != nil {
			r.Fatal(err)
		}
		u, found := s.User(n.Name)
		if !found || fmt.Sprintf("%q%q", u.Publish.AllowList(), u.Subscribe.AllowList()) != fmt.Sprintf("%q%q", n.Publish, n.Subscribe) {
			r.Fatalf("the file has %+v", u)
		}
		if err := users.Remove(file, n.Name); err != nil {
			r.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if want := strings.Replace(handmade, "41 #", "43 #", 1); err != nil || string(text) != want {
			r.Fatalf("%v; the file is\n%s", err, text)
		}
	})
}
