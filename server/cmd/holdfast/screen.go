package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

// A screen is standard error as those see it who wait for a command: notices,
// each on a line of its own, and below them progress. On a terminal that is one
// line that is drawn over, else a line each time. Safe for concurrent use.
type screen struct {
	quiet bool // no notices
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	drawn bool      // there is a line of progress on the terminal; guarded by mu
}

func newScreen(w io.Writer, quiet bool) *screen { return &screen{w: w, quiet: quiet} }

const eraseLine = "\r\x1b[K"

// say writes a notice, unless there are to be none.
func (s *screen) say(format string, args ...any) {
	if !s.quiet {
		s.tell(format, args...)
	}
}

// tell writes what must not go unsaid.
func (s *screen) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
	fmt.Fprintf(s.w, "holdfast: %s\n", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`))
}

// show writes progress.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, is := s.w.(*terminal)
	if !is {
		fmt.Fprintln(s.w, line)
		return
	}
	t.draw(eraseLine + t.fit(visible.Text(line)))
	s.drawn = true
}

// erase takes progress away from the terminal.
func (s *screen) erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
}

func (s *screen) eraseLocked() {
	if s.drawn {
		s.w.(*terminal).draw(eraseLine)
		s.drawn = false
	}
}

// fit cuts a line to the width of the terminal, which would wrap it.
func (t *terminal) fit(line string) string {
	width, _, err := term.GetSize(int(t.f.Fd()))
	if err != nil || width < 1 || utf8.RuneCountInString(line) < width {
		return line
	}
	return string([]rune(line)[:width-1])
}

// follow shows progress while a command runs: ten times a second on a terminal,
// else once a second. The function it returns ends that.
func (s *screen) follow(progress func() string) (stop func()) {
	every := time.Second
	if isTerminal(s.w) {
		every = 100 * time.Millisecond
	}
	ctx, end := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for pause(ctx, every) {
			s.show(progress())
		}
		s.erase()
	}()
	return func() { end(); <-stopped }
}

// barWidth is how many cells a bar has.
const barWidth = 20

// bar draws how much of a whole is done.
func bar(done, whole int64) string {
	share := float64(done) / float64(max(whole, 1))
	full := min(int(share*barWidth), barWidth)
	return fmt.Sprintf("%3.0f %% %s%s", min(100*share, 100), strings.Repeat("█", full), strings.Repeat("░", barWidth-full))
}
