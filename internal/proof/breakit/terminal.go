package breakit

import (
	"bufio"
	"os"
	"strings"

	"golang.org/x/term"
)

// A terminal is the reader's, taken over: raw, on its other screen.
type terminal struct {
	state *term.State
	out   *bufio.Writer
	keys  chan byte // the pressed keys
}

// isTerminal reports whether there is a terminal to show a screen on.
func isTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("TERM") != "dumb"
}

// openTerminal takes the terminal over. close gives it back.
func openTerminal() (*terminal, error) {
	state, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return nil, err
	}
	t := &terminal{state: state, out: bufio.NewWriter(os.Stdout), keys: make(chan byte, 16)}
	t.write("\x1b[?1049h\x1b[?25l\x1b[2J") // the other screen, no cursor, empty
	go t.read()                            // ends with the process
	return t, nil
}

// read passes on the pressed keys. An arrow or the like begins with an escape and comes
// in one read.
func (t *terminal) read() {
	var b [64]byte
	for {
		n, err := os.Stdin.Read(b[:])
		if err != nil {
			return
		}
		if b[0] == '\x1b' {
			continue
		}
		for _, key := range b[:n] {
			t.keys <- key
		}
	}
}

// size returns width and height.
func (t *terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// show replaces the content of the screen.
func (t *terminal) show(lines []string) {
	t.write("\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\x1b[J")
}

func (t *terminal) write(text string) {
	t.out.WriteString(text)
	t.out.Flush()
}

// close gives the terminal back as it was.
func (t *terminal) close() {
	t.write("\x1b[0m\x1b[?25h\x1b[?1049l")
	term.Restore(int(os.Stdin.Fd()), t.state)
}

// colours reports whether the reader wants them.
func colours() bool { return os.Getenv("NO_COLOR") == "" }
