package users_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/users"
)

// head is the start of a good file.
const head = "version: 7\n" + saltKey + "users:\n"

// loadText loads a file with a text.
func loadText(t *testing.T, text string) *users.Set {
	t.Helper()
	return mustLoad(t, write(t, text))
}

// The example means this.
func TestExample(t *testing.T) {
	s := loadText(t, readFile(t, filepath.Join("testdata", "example.yaml")))
	var got strings.Builder
	fmt.Fprintf(&got, "version %d\nhash %x\n", s.Version(), s.Hash())
	for _, u := range s.All() {
		scram, argon2id := u.HasPassword()
		fmt.Fprintf(&got, "%s: scram %v, argon2id %v, cert %q, admin %v\n", u.Name, scram, argon2id, u.Cert(), u.Admin)
		fmt.Fprintf(&got, "  client names: %q, but %q\n", u.ClientNames.AllowList(), u.ClientNames.DenyList())
		fmt.Fprintf(&got, "  publish: %q, but %q\n  subscribe: %q, but %q\n  limits: %+v\n",
			u.Publish.AllowList(), u.Publish.DenyList(), u.Subscribe.AllowList(), u.Subscribe.DenyList(), u.Limits)
	}
	golden := filepath.Join("testdata", "example.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readFile(t, golden); got.String() != want {
		t.Errorf("the example means\n%s\nwant\n%s", got.String(), want)
	}
}

// Files that cannot be used are refused with file, line, field and remedy.
func TestBadFiles(t *testing.T) {
	good := head + "  - name: a\n    scram: " + scramText + "\n"
	user := func(fields string) string { return good + "    " + fields + "\n" }
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "users.yaml: is empty: holdfastd user add makes"},
		{"comment only", "# none\n", "users.yaml: is empty"},
		{"list", "- a\n", "users.yaml: must contain one map"},
		{"two documents", good + "---\nversion: 1\n", "users.yaml: must contain one map"},
		{"no version", strings.Replace(good, "version: 7\n", "", 1), "users.yaml: version is missing: write version: 1"},
		{"bad version", strings.Replace(good, "7", "seven", 1), "users.yaml:1: version is not a number from 1 on"},
		{"version 0", strings.Replace(good, "7", "0", 1), "users.yaml:1: version is not a number from 1 on"},
		{"version list", strings.Replace(good, "7", "[7]", 1), "users.yaml:1: version must be one plain value"},
		{"no salt key", strings.Replace(good, saltKey, "", 1), "users.yaml: salt_key is missing: write the output of: head -c 32"},
		{"short salt key", strings.Replace(good, "AAEC", "", 1), "users.yaml:2: salt_key is not the base64 of 32 bytes"},
		{"bad salt key", strings.Replace(good, "AAEC", "A.EC", 1), "users.yaml:2: salt_key is not the base64 of 32 bytes"},
		{"unknown field", user("pubish: {}"), `users.yaml:6: unknown field "pubish"`},
		{"field twice", user("name: b"), "users.yaml:6: mapping key \"name\" already defined"},
		{"no name", head + "- cert: x\n", "users.yaml: users[0].name the name is empty"},
		{"null name", head + "- name:\n", "users.yaml:4: users[0].name has no value: write one, or remove the field"},
		{"control character", head + "- name: \"a\\tb\"\n  cert: x\n", "users.yaml:4: users[0].name the name has a control character"},
		{"long name", head + "- name: " + strings.Repeat("x", 257) + "\n  cert: x\n", "users[0].name the name has 257 bytes, more than the maximum 256"},
		{"name twice", good + "  - name: a\n    cert: x\n", `users.yaml:6: users[1].name "a" is the name of an earlier user, too`},
		{"certificate twice", head + "- {name: a, cert: x}\n- {name: b, cert: x}\n", `users.yaml:5: users[1].cert "x" is the certificate of user "a", too`},
		{"empty certificate", user(`cert: ""`), "users.yaml:6: users[0].cert the name is empty"},
		{"no credentials", head + "- name: a\n", `users.yaml:4: users[0] ("a") has neither scram nor argon2id nor cert`},
		{"bad scram", head + "- name: a\n  scram: pencil\n", "users.yaml:5: users[0].scram cannot be used: the verifier is incomplete"},
		{"few iterations", strings.Replace(good, "$4096", "$4095", 1), "users.yaml:5: users[0].scram cannot be used: the verifier has iterations"},
		{"bad argon2id", user("argon2id: pencil"), "users.yaml:6: users[0].argon2id is not the argon2id hash"},
		{"other argon2", user("argon2id: " + strings.Replace(argon2Text, "argon2id", "argon2i", 1)), "users.yaml:6: users[0].argon2id is not the argon2id hash"},
		{"more of argon2id", user("argon2id: " + argon2Text + "$x"), "users.yaml:6: users[0].argon2id is not the argon2id hash"},
		{"much memory", user("argon2id: " + strings.Replace(argon2Text, "m=16", "m=262145", 1)), "has m=262145 KiB of memory: use 8 to 262144"},
		{"many passes", user("argon2id: " + strings.Replace(argon2Text, "t=1", "t=11", 1)), "has t=11 passes: use 1 to 10"},
		{"many threads", user("argon2id: " + strings.Replace(argon2Text, "p=1", "p=9", 1)), "has p=9 threads: use 1 to 8"},
		{"any memory", user("argon2id: " + strings.Replace(argon2Text, "m=16", "m=99999999999", 1)), "is not the argon2id hash"},
		{"bad pattern", user(`publish: {allow: [ok, "("]}`), `users.yaml:6: users[0].publish.allow[1] "(": bad regex topic`},
		{"bad deny", user(`subscribe: {deny: ["["]}`), `users.yaml:6: users[0].subscribe.deny[0] "[": bad regex topic`},
		{"empty pattern", user(`subscribe: {allow: [""]}`), `users.yaml:6: users[0].subscribe.allow[0] "": is empty: write a topic`},
		{"costly patterns", user("publish: {allow: [" + strings.Repeat(`"x{1000}", `, 40) + "]}"), "users.yaml:6: users[0].publish.allow and deny compile to"},
		{"no client name", user("client_names: []"), "users.yaml:6: users[0].client_names is empty, so the user could not log on"},
		{"null client names", user("client_names:"), "users.yaml:6: users[0].client_names has no value"},
		{"null rules", user("publish: {allow: [a], deny: }"), "users.yaml:6: users[0].publish.deny has no value"},
		{"one client name", user("client_names: a"), "users.yaml:6:"},
		{"bad client name", user(`client_names: ["(a"]`), `users.yaml:6: users[0].client_names[0] "(a": bad regex topic`},
		{"pattern that is a list", user("publish: {allow: [[a]]}"), "users.yaml:6: users[0].publish.allow[0] must be one plain value"},
		{"admin", user("admin: perhaps"), `users.yaml:6: users[0].admin "perhaps" is neither true nor false`},
		{"negative limit", user("limits: {publishers: -1}"), `users.yaml:6: users[0].limits.publishers "-1" is not a number from 0 to`},
		{"limit with unit", user("limits: {connections: 1KiB}"), `users[0].limits.connections "1KiB" is not a number`},
		{"bad size", user("limits: {bytes_per_second: fast}"), `users[0].limits.bytes_per_second "fast" is not a size: write whole bytes or a unit`},
		{"negative size", user("limits: {bytes_per_second: -1MiB}"), `"-1MiB" is not a size`},
		{"alias", head + "- &a {name: a}\n- *a\n", "users.yaml:4: \"&\": anchors, aliases and tags are not supported"},
		{"deep", head + strings.Repeat("[", 100) + "\n", "nested deeper than 64"},
		{"large", head + strings.Repeat("#", 4<<20), "users.yaml: has more than 4194304 bytes"},
		{"large, windows", head + strings.Repeat("#\r\n", 2<<20), "users.yaml: has more than 4194304 bytes"},
		{"alias, windows", strings.ReplaceAll(head, "\n", "\r\n") + "- &a {name: a}\r\n", "users.yaml:4: \"&\": anchors, aliases and tags are not supported"},
		{"many users", head + strings.Repeat("- {name: a}\n", 20_001), "users.yaml: users has 20001 users, more than the maximum 20000"},
		{"many patterns", head + manyPatterns(), "users.yaml:55: users have more than 50000 regular expressions"},
		{"syntax", head + "- {name: a\n", "users.yaml:4:"},
		{"windows", strings.ReplaceAll(user("admin: perhaps"), "\n", "\r\n"), "users.yaml:6: users[0].admin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := users.Load(write(t, tt.text))
			var problem *users.FileError
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &problem) {
				t.Errorf("%v\nwant %q", err, tt.want)
			}
		})
	}
}

// manyPatterns has 1000 regular expressions for each of 60 users.
func manyPatterns() string {
	var text strings.Builder
	for n := range 60 {
		fmt.Fprintf(&text, "- {name: u%d, cert: u%d, publish: {allow: [%s]}}\n", n, n, strings.Repeat("^a, ", 1000))
	}
	return text.String()
}

// A file with many problems reports the first ones together.
func TestManyProblems(t *testing.T) {
	_, err := users.Load(write(t, "version: x\nusers:\n"+strings.Repeat("- name: a\n", 100)))
	if n := strings.Count(fmt.Sprint(err), "\n") + 1; n != 10 {
		t.Errorf("%d problems:\n%v", n, err)
	}
}

// A file that others can access, or that is no file, is refused.
func TestFileMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes there")
	}
	file := write(t, handmade)
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o622: false, 0o601: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := users.Load(file)
		if good != (err == nil) || !good && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if _, err := users.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := users.Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no file: %v", err)
	}
}

// The hash is that of the permissions, and of nothing else.
func TestHash(t *testing.T) {
	const (
		first  = "- {name: a, cert: a, publish: {allow: [x, ^y], deny: [z]}}\n"
		second = "- {name: b, cert: b, subscribe: {allow: [x]}}\n"
	)
	want := loadText(t, head+first+second).Hash()
	for _, text := range []string{
		head + second + first,
		strings.Replace(head, "7", "8", 1) + first + second,
		strings.Replace(head, "AAEC", "BBEC", 1) + first + second,
		head + strings.Replace(first, "cert: a", "scram: '"+scramText+"'", 1) + second,
		head + strings.Replace(first, "x, ^y", "^y, x, x", 1) + second,
		head + strings.Replace(first, "cert: a", "cert: a, client_names: ['.*']", 1) + second,
		head + strings.Replace(first, "cert: a", "cert: a, limits: {publishers: 1}", 1) + second,
	} {
		if loadText(t, text).Hash() != want {
			t.Errorf("another hash of\n%s", text)
		}
	}
	seen := map[[32]byte]string{want: "the first"}
	for _, text := range []string{
		head + first, head + second, head,
		head + strings.Replace(first, "name: a", "name: c", 1) + second,
		head + strings.Replace(first, "x, ^y", "x", 1) + second,
		head + strings.Replace(first, "x, ^y", "x^y", 1) + second,
		head + strings.Replace(first, "deny: [z]", "deny: []", 1) + second,
		head + strings.Replace(first, "publish", "subscribe", 1) + second,
		head + strings.Replace(first, "cert: a", "cert: a, client_names: [a]", 1) + second,
	} {
		hash := loadText(t, text).Hash()
		if other, is := seen[hash]; is {
			t.Errorf("one hash of\n%s\nand\n%s", other, text)
		}
		seen[hash] = text
	}
}

// checkNoSecret checks that an error quotes no secret of a text, as far as it stands in its field.
func checkNoSecret(t *testing.T, text string, err error) {
	t.Helper()
	for line := range strings.Lines(text) {
		field, value, _ := strings.Cut(line, ": ")
		if strings.HasSuffix(field, "salt_key") || strings.HasSuffix(field, "scram") || strings.HasSuffix(field, "argon2id") {
			for _, secret := range secrets.FindAllString(value, -1) {
				if strings.Contains(err.Error(), secret) && strings.Count(text, secret) == 1 {
					t.Errorf("the error has a secret: %v", err)
				}
			}
		}
	}
}

// FuzzLoad loads any text, and changes each that can be used. An error never quotes a secret, and
// memory is in proportion to the text.
func FuzzLoad(f *testing.F) {
	for _, text := range []string{"", head, handmade, head + "- {name: a, cert: a}\n", "version: 1\nusers: []\n" + saltKey, strings.ReplaceAll(handmade, "\n", "\r\n"),
		head + "- name: |\n    a\n  cert: >-\n    a\n    # b\n", "? version\n: 1\n" + saltKey + "users: null\n", "\"version\": 1\n'users':\n" + saltKey} {
		f.Add(text)
	}
	example, err := os.ReadFile(filepath.Join("testdata", "example.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Fuzz(func(t *testing.T, text string) {
		var s *users.Set
		var err error
		heap.Bounded(t, len(text), 32<<10, 8<<20, func() { s, err = users.Parse("users.yaml", []byte(text)) })
		if err != nil {
			checkNoSecret(t, text, err)
			return
		}
		file := write(t, text)
		// Each change is made and means what it should, or is refused and leaves the file.
		if err := users.Add(file, users.NewUser{Name: "new", Cert: "new"}); err == nil {
			if now := mustLoad(t, file); len(now.All()) != len(s.All())+1 {
				t.Errorf("added to %q: %q", text, readFile(t, file))
			}
			if err := users.Remove(file, "new"); err != nil {
				t.Errorf("cannot be removed from %q: %v", readFile(t, file), err)
			}
		}
		for _, u := range s.All() {
			_ = users.Remove(file, u.Name)
		}
		mustLoad(t, file)
	})
}
