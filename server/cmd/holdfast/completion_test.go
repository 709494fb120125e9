package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completed returns the completions of the last word.
func completed(t *testing.T, words ...string) (values []string) {
	t.Helper()
	var out, wrong bytes.Buffer
	if code := run(append([]string{"complete", "bash", "--"}, words...), &out, &wrong); code != exitOK {
		t.Fatalf("%q: exit code %d: %s", words, code, wrong.String())
	}
	for line := range strings.Lines(out.String()) {
		value, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		values = append(values, value)
	}
	return values
}

func TestCandidates(t *testing.T) {
	for _, tt := range []struct{ words, want string }{ // a space at the end begins an empty word
		{"st", "store status"},
		{"store ver", "verify"},
		{"store verify ", ""}, // a path
		{"bench publish --store ", "memory file bolt"},
		{"bench publish --store f", "file"},
		{"bench publish --store = f", "file"}, // as bash splits it
		{"bench publish --store =", "memory file bolt"},
		{"bench publish --store=f", "--store=file"}, // other shells do not split it
		{"bench replay --subs", "--subscribers"},
		{"bench publish --size 5 --siz", ""}, // --size is there already
		{"bench publish --server a --serv", "--server"},
		{"bench publish --sync-always --st", "--store"},
		{"status --js", "--json"},
		{"status --watch --js", "--json"}, // --watch does not take the next word as its value
		{"status -- --js", ""},
		{"completion ", "bash zsh fish"},
		{"completion bash ", ""},
		{"bench inst", ""}, // hidden
		{"no such comma", ""},
	} {
		if got := strings.Join(completed(t, strings.Split(tt.words, " ")...), " "); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.words, got, tt.want)
		}
	}
	if all := completed(t, ""); !slices.Contains(all, "journal") || slices.Contains(all, "complete") {
		t.Errorf("commands: %q", all)
	}
}

// Each shell can load its script and then complete.
func TestCompletionScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "holdfast")); err != nil {
		t.Skipf("the command can't be given its name here: %v", err)
	}
	for _, tt := range []struct {
		shell string
		flags []string
		test  string // prints the completions of "holdfast st" and "holdfast bench publish --store=f"
		want  string
	}{
		{"bash", []string{"--norc", "-c"}, `source <(holdfast completion bash) && complete -p holdfast >/dev/null || exit 1
			COMP_WORDS=(holdfast st) COMP_CWORD=1; _holdfast; echo "${COMPREPLY[@]}"
			COMP_WORDS=(holdfast bench publish --store = f) COMP_CWORD=5; _holdfast; echo "${COMPREPLY[@]}"`,
			"store status\nfile\n"},
		{"zsh", []string{"-f", "-c"}, `compdef() {}; _describe() { print -r -- ${candidates%%:*} }
			source <(holdfast completion zsh) || exit 1
			words=(holdfast st) CURRENT=2; _holdfast
			words=(holdfast bench publish --store=f) CURRENT=4; _holdfast`,
			"store status\n--store=file\n"},
		{"fish", []string{"--no-config", "-c"}, `holdfast completion fish | source; or exit 1
			complete -C "holdfast st" | string replace -r '\t.*' ''
			complete -C "holdfast bench publish --store=f"`,
			"status\nstore\n--store=file\n"},
	} {
		t.Run(tt.shell, func(t *testing.T) {
			if _, err := exec.LookPath(tt.shell); err != nil {
				t.Skipf("%s is not installed", tt.shell)
			}
			command := exec.Command(tt.shell, append(tt.flags, tt.test)...)
			command.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir)
			out, err := command.CombinedOutput()
			if err != nil || string(out) != tt.want {
				t.Errorf("%q, %v, want %q", out, err, tt.want)
			}
		})
	}
}
