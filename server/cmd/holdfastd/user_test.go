package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/tmux"
)

// A userRun runs holdfastd user in a directory.
type userRun struct {
	*testing.T
	dir string
}

// user runs a command with a standard input, and checks its exit code and that its output has a text.
func (r userRun) user(code int, want, input string, args ...string) {
	r.Helper()
	cmd := exec.Command(daemon, append([]string{"user"}, args...)...)
	cmd.Dir = r.dir
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	got := cmd.ProcessState.ExitCode()
	if got != code || !strings.Contains(out.String(), want) || want == "" && out.Len() > 0 {
		r.Errorf("user %q: exit %d, want %d and %q:\n%s", args, got, code, want, &out)
	}
	if input = strings.TrimSpace(input); input != "" && strings.Contains(out.String(), input) {
		r.Errorf("user %q shows the password:\n%s", args, &out)
	}
}

func TestUserCommands(t *testing.T) {
	r := userRun{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(r.dir, "pw"), []byte("of-a-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "lines"), []byte("of-a-file\nsecond line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := []string{"-users", "users.yaml"}
	with := func(command string, args ...string) []string { return append(append([]string{command}, u...), args...) }

	r.user(78, "cannot be read", "", with("list")...)
	r.user(1, "users.yaml: file does not exist: holdfastd user add makes it", "", with("remove", "ann")...)
	r.user(0, "", "tops3cret\nsecond line\n", with("add", "ann", "--publish", "^orders/", "--publish", "audit", "-subscribe", ".*", "-client-name", "^ann-", "-argon2")...)
	r.user(1, `there is a user "ann" already`, "other1\n", with("add", "ann")...)
	r.user(0, "", "", "add", "bob", "-cert", "bob.example", "--users=users.yaml")
	r.user(0, "", "", with("add", "cid", "-password-file", "pw", "-cert", "cid.example")...)
	r.user(0, "did you mean", "tops3cret\n", with("add", "dot", "-publish", "orders.*")...)
	r.user(0, "matches anywhere", "tops3cret\n", with("add", "eve", "-publish", "orders/.+")...)
	r.user(0, "version 5, permissions ", "", with("list")...)
	r.user(0, "ann   scram,argon2id          ^ann-         ^orders/ audit  .*\n", "", with("list")...)
	r.user(0, "cid   scram,cert=cid.example  .*            -               -\n", "", with("list")...)

	r.user(0, `publish "orders/1": allowed: allow[0] "^orders/"`, "", with("check", "ann", "-publish", "orders/1", "-client-name", "ann-1")...)
	r.user(1, `publish "x": denied: no pattern of allow matches`, "", with("check", "ann", "-publish", "orders/1", "-publish", "x")...)
	r.user(1, `client-name "bob": denied: no pattern of allow matches`, "", with("check", "ann", "-client-name", "bob")...)
	r.user(0, "password: allowed: it is right", "tops3cret\n", with("check", "ann", "-password-file", "-")...)
	r.user(1, "password: denied: wrong password", "", with("check", "ann", "-password-file", "pw")...)
	r.user(1, "password: denied: the user has no password", "", with("check", "bob", "-password-file", "pw")...)
	r.user(0, "password: allowed", "", with("check", "cid", "-password-file", "pw")...)
	r.user(1, `there is no user "zoe"`, "", with("check", "zoe")...)

	r.user(0, "", "", with("permit", "ann", "-publish", "^prices/", "-deny-publish", "^prices/secret", "-client-name", "")...)
	r.user(1, `publish "orders/1": denied`, "", with("check", "ann", "-publish", "orders/1", "-client-name", "bob")...)
	r.user(0, "allowed", "", with("check", "ann", "-publish", "prices/1", "-client-name", "bob", "-subscribe", "x")...)
	r.user(1, `deny[0] "^prices/secret"`, "", with("check", "ann", "-publish", "prices/secret")...)
	r.user(0, "did you mean", "", with("permit", "dot", "-subscribe", "orders.*")...)
	r.user(0, "version 7,", "", with("list")...)
	r.user(78, "there is nothing to change", "", with("permit", "ann")...)
	r.user(1, `there is no user "zoe"`, "", with("permit", "zoe", "-publish", "a")...)

	r.user(0, "", "", with("password", "ann", "-password-file", "pw")...)
	r.user(0, "password: allowed", "", with("check", "ann", "-password-file", "pw")...)
	r.user(1, "password: denied: wrong password", "tops3cret\n", with("check", "ann", "-password-file", "-")...)
	r.user(0, "", "", with("remove", "ann")...)
	r.user(1, `there is no user "ann"`, "", with("remove", "ann")...)
	r.user(0, "version 9,", "", with("list")...)

	r.user(1, "the password is empty", "\n", with("add", "ann")...)
	r.user(1, "control character", "a\x1bb\n", with("add", "ann")...)
	r.user(1, "control character", "", with("add", "ann", "-password-file", "lines")...)
	r.user(1, "longer than 4096", strings.Repeat("x", 5000), with("add", "ann")...)
	r.user(1, "no such file", "", with("add", "ann", "-password-file", "none")...)
	r.user(1, `pattern "(": bad regex topic`, "x1y2\n", with("add", "ann", "-publish", "(")...)
	r.user(78, "-argon2 with -cert needs -password-file", "", with("add", "ann", "-cert", "c", "-argon2")...)
	r.user(78, "-users is missing", "", "add", "ann")
	r.user(78, "takes the name of one user", "", with("add")...)
	r.user(78, "takes the name of one user", "", with("remove", "a", "b")...)
	r.user(78, `unexpected argument "a"`, "", with("list", "a")...)
	r.user(78, "not defined: -password", "", with("add", "ann", "-password", "x")...)
	r.user(78, "not defined: -cert", "", with("password", "ann", "-cert", "x")...)
	r.user(78, `there is no command "delete"`, "", "delete")
	r.user(78, "a command is missing", "")
	r.user(0, "Usage: holdfastd user add", "", "-help")
	r.user(0, "Usage: holdfastd user add", "", "add", "-help")
	r.user(0, "Usage: holdfastd user add", "", "help")
	r.user(78, `-users is followed by the flag "--help"`, "", "add", "ann", "-users", "--help")

	// The name of a user is never a path.
	r.user(0, "", "tops3cret\n", with("add", "../../up")...)
	files, err := os.ReadDir(r.dir)
	if err != nil || len(files) != 3 {
		t.Errorf("files %v, %v", files, err)
	}
}

// On a terminal a new password is typed twice, and never shown.
func TestUserPrompt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no tmux there")
	}
	file := filepath.Join(t.TempDir(), "users.yaml")
	type answer struct{ prompt, text string }
	for _, tt := range []struct {
		name    string
		answers []answer
		says    string
	}{
		{"differ", []answer{{"Password:", "hunter1"}, {"The same again:", "hunter2"}}, "the two passwords differ\nexit 1"},
		{"same", []answer{{"Password:", "hunter1"}, {"The same again:", "hunter1"}}, "exit 0"},
	} {
		terminal := tmux.Start(t, `"$0" user add -users "$1" ann; echo "exit $?"`, daemon, file)
		for _, a := range tt.answers {
			terminal.Await(a.prompt)
			terminal.Type(a.text)
		}
		if out := terminal.Check(); !strings.Contains(out, tt.says) || strings.Contains(out, "hunter") {
			t.Errorf("%s: the screen is\n%s", tt.name, out)
		}
	}
	// After an interrupt the terminal shows its input again.
	terminal := tmux.Start(t, `trap : INT; "$0" user password -users "$1" ann; stty -a | grep -o '.echo\>'; echo over`, daemon, file)
	terminal.Await("Password:")
	terminal.Interrupt()
	if out := terminal.Check(); !strings.Contains(out, " echo\nover") {
		t.Errorf("interrupted: the screen is\n%s", out)
	}
}
