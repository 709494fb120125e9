// Package tmux shows a test the screen of a terminal after a command.
package tmux

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Hostile are texts that do something to a terminal that is written them as they are.
var Hostile = []string{
	"\x1b[2J\x1b[Hcleared",
	"\x1b]0;owned\atitle",
	"\x1b]2;owned\x1b\\title again",
	"\x1bkowned\x1b\\name of the window",
	"\x1b[?1049hthe other screen",
	"\x1b[31;7mcolours",
	"\x1b[6n\x1b[canswers into the input",
	"\x1b[1;1H\x1b[Lline in between",
	"\u009b2J\u009b1;1Hcontrol characters above 0x7f",
	"\x9b2J bytes above 0x7f",
	"\x1bPq\x1b\\string",
	"over\rwritten\b\b\b",
	"\x0eother characters\x1b(0qqq",
	"\x1bcreset",
	"\v\f\x7f",
	"\u202eright to left",
}

const (
	before   = "THE FIRST LINE"
	after    = "THE LAST LINE"
	patience = 30 * time.Second
)

// A Terminal is one on which a command runs.
type Terminal struct {
	t      *testing.T
	socket string
}

// Start runs a command of sh on a terminal of its own, between two lines that Check looks
// for. $0 and so on are args. Without tmux the test is skipped.
func Start(t *testing.T, command string, args ...string) *Terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed")
	}
	dir, err := os.MkdirTemp("", "tmux") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	term := &Terminal{t, filepath.Join(dir, "s")}
	t.Cleanup(func() {
		_ = exec.Command("tmux", "-S", term.socket, "kill-server").Run()
		os.RemoveAll(dir)
	})
	script := fmt.Sprintf("echo '%s'; %s\necho '%s'; exec cat", before, command, after)
	term.tmux(append([]string{"-u", "-f", os.DevNull, "new-session", "-d", "-x", "250", "-y", "100", "sh", "-c", script}, args...)...)
	return term
}

func (m *Terminal) tmux(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TMUX=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Await waits until text is on the screen.
func (m *Terminal) Await(text string) {
	m.t.Helper()
	for start := time.Now(); !strings.Contains(m.screen(), text); {
		if time.Since(start) > patience {
			m.t.Fatalf("%q did not appear; the screen is\n%s", text, m.screen())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Type types text and the enter key.
func (m *Terminal) Type(text string) {
	m.t.Helper()
	m.tmux("send-keys", "-l", "--", text)
	m.tmux("send-keys", "Enter")
}

// screen is the content of the screen, with escapes for its attributes.
func (m *Terminal) screen() string { return m.tmux("capture-pane", "-p", "-e", "-S", "-") }

// Check waits for the command's end and returns its output. It fails the test if that is
// anything but text below the first line and above the last one.
func (m *Terminal) Check() string {
	m.t.Helper()
	m.Await(after)
	screen := strings.TrimRight(m.screen(), "\n")
	text, begins := strings.CutPrefix(screen, before+"\n")
	text, ends := strings.CutSuffix(text, after)
	if !begins || !ends || strings.ContainsAny(text, "\x1b\x0e\x0f") {
		m.t.Errorf("the command changed the screen by more than text:\n%q", screen)
	}
	state := m.tmux("display-message", "-p", "#{pane_title} #{window_name} #{alternate_on} #{cursor_flag} #{insert_flag} #{origin_flag} #{scroll_region_upper}")
	if strings.Contains(state, "owned") || !strings.HasSuffix(strings.TrimSpace(state), " 0 1 0 0 0") {
		m.t.Errorf("title, name and modes of the terminal are %q", state)
	}
	return text
}
