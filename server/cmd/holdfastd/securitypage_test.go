package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/internal/users"
	"github.com/holdfast-mq/holdfast/server"
)

// A block is a block of a page.
type block struct{ kind, text string }

// securityBlocks returns the blocks of server/SECURITY.md: those up to the procedures for a running
// pair, those of the switch, and those of the rotation.
func securityBlocks(t *testing.T) (first, change, rotation []block) {
	t.Helper()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	page, rest, found := strings.Cut(string(text), "\n## Switch it on in a running pair\n")
	running, last, foundLast := strings.Cut(rest, "\n## Rotate certificates, passwords and the link secret\n")
	if !found || !foundLast {
		t.Fatal("the page has no sections about a running pair")
	}
	return blocksOf(page), blocksOf(running), blocksOf(last)
}

// blocksOf returns the blocks of a part of a page.
func blocksOf(page string) (blocks []block) {
	for _, m := range regexp.MustCompile("(?sm)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, block{m[1], m[2]})
	}
	return blocks
}

// A walk is the walk-through of a page as a script, and the outputs that the page shows.
type walk struct {
	script  strings.Builder
	outputs []string // each with its command; empty: the page does not show it
}

// mark separates the outputs.
const mark = "@@@"

// add adds a block: commands to paste, or commands with their outputs.
func (w *walk) add(b block) {
	switch {
	case b.kind == "sh" && !strings.Contains(b.text, "go build"):
		w.script.WriteString("set -e; echo " + mark + "\n" + strings.NewReplacer("2>a.log", ">a.out 2>a.log", "2>b.log", ">b.out 2>b.log").Replace(b.text))
		if strings.Contains(b.text, "holdfastd -config") {
			w.script.WriteString("until grep -q ^ready a.out && grep -q ^ready b.out; do sleep 0.1; done\n")
		}
		w.outputs = append(w.outputs, "")
	case b.kind == "":
		w.script.WriteString("set +e\n")
		for _, shown := range strings.Split("\n"+b.text, "\n$ ")[1:] {
			command, _, _ := strings.Cut(shown, "\n")
			w.script.WriteString("echo " + mark + "\n" + command + "\n")
			w.outputs = append(w.outputs, shown)
		}
	}
}

// oneMachine stands in for the other machine and for root: both instances have the same directory.
const oneMachine = "chown() { :; }\nssh() { cat >/dev/null; }\n"

// logged are the lines that an instance logs after a block that has a text.
var logged = []struct{ block, file, line string }{
	{"put a.pem", "a.log", "certificate replaced.*field=clients.tls"},
	{"put links.pem && send", "a.log", "authorities replaced.*field=replication.tls"},
	{"put links.pem && send", "b.log", "authorities replaced.*field=replication.tls"},
	{"put a-link.pem", "a.log", "certificate replaced.*field=replication.tls"},
	{"put b-link.pem", "b.log", "certificate replaced.*field=replication.tls"},
	{"new.key | put link.key", "a.log", "file read again.*field=replication.secret"},
	{"new.key | put link.key", "b.log", "file read again.*field=replication.secret"},
	{"user permit", "a.log", "permissions of users have changed"},
	{"put admin.token", "b.log", "file read again.*field=admin.token"},
}

// addRotation adds the procedures for a running pair that need no restart: the permissions and the
// rotation. It waits for the lines in the logs for which the page has people wait.
func (w *walk) addRotation(change, rotation []block) {
	blocks := []block{change[0]} // the shell functions
	for _, b := range change {
		if strings.Contains(b.text, "user permit") {
			blocks = append(blocks, b)
		}
	}
	for i, b := range append(blocks, rotation...) {
		if b.kind != "sh" {
			continue
		}
		w.add(b)
		if i == 0 {
			w.script.WriteString(oneMachine)
		}
		for _, l := range logged {
			if strings.Contains(b.text, l.block) {
				fmt.Fprintf(&w.script, "until grep -q %q %s; do sleep 0.1; done\n", l.line, l.file)
			}
		}
	}
}

// pageAddresses are the addresses in the page.
var pageAddresses = []string{"127.0.0.1:9007", "127.0.0.1:9008", "127.0.0.1:9107", "127.0.0.1:9108", "127.0.0.1:8085", "127.0.0.1:8086"}

// nameOfA is the address of a in the procedures for two machines.
const nameOfA = "a:9007"

// run executes the script with the test's own ports. It returns the outputs.
func (w *walk) run(t *testing.T) (outputs []string) {
	t.Helper()
	var there, back []string
	for _, page := range pageAddresses {
		own := heldport.ForTest(t)
		there, back = append(there, page, own), append(back, own, page)
	}
	there = append(there, " "+nameOfA, " "+there[1])
	bin := filepath.Dir(statusCommand(t))
	ctx, cancel := context.WithTimeout(t.Context(), 2*drillPatience)
	defer cancel()
	script := "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n" + strings.NewReplacer(there...).Replace(w.script.String())
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // the trap stops the instances
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return strings.Split(strings.NewReplacer(back...).Replace(string(out)), mark+"\n")[1:]
}

// unstable finds text that differs from run to run.
var unstable = regexp.MustCompile(`(?m)\d{4}-\d\d-\d\dT[\d:]+Z|^(version  |cluster|sessions|  behind|  to come) .*$|[ -]+$`)

// comparable returns an output without such text. The widths of columns depend on the ports.
func comparable(output string) string {
	return strings.TrimSpace(regexp.MustCompile(` +`).ReplaceAllString(unstable.ReplaceAllString(output, ""), " "))
}

// The commands of SECURITY.md work as they are, one after the other, and print what the page shows.
func TestSecurityPageWalk(t *testing.T) {
	for _, tool := range []string{"bash", "openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil || runtime.GOOS == "windows" {
			t.Skipf("no %s there", tool)
		}
	}
	t.Parallel()
	var w walk
	first, change, rotation := securityBlocks(t)
	for _, b := range first {
		w.add(b)
	}
	w.addRotation(change, rotation)
	outputs := w.run(t)
	if len(outputs) != len(w.outputs) || len(outputs) < 10 {
		t.Fatalf("%d commands, %d outputs: %q", len(w.outputs), len(outputs), outputs)
	}
	for i, shown := range w.outputs {
		command, want, isShown := strings.Cut(shown, "\n")
		if got := outputs[i]; isShown && comparable(got) != comparable(want) {
			t.Errorf("$ %s\nprints\n%s\nthe page has\n%s", command, got, want)
		}
	}
}

// The files in SECURITY.md are ones that an instance takes.
func TestSecurityPageFiles(t *testing.T) {
	n := 0
	first, _, _ := securityBlocks(t)
	for _, b := range first {
		if b.kind != "yaml" {
			continue
		}
		n++
		if strings.HasPrefix(b.text, "version:") {
			set, err := users.Load(write(t, t.TempDir(), b.text))
			if err != nil || len(set.All()) != 1 {
				t.Errorf("the users: %v", err)
			}
			continue
		}
		if _, err := server.LoadConfig(write(t, t.TempDir(), fmt.Sprintf("name: a\ngroup: g\ndata: data\n%s", b.text))); err != nil {
			t.Errorf("the configuration: %v", err)
		}
	}
	if n < 2 {
		t.Errorf("the page has %d files", n)
	}
}
