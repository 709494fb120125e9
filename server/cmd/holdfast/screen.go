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

// A screen writes notices and progress to standard error. Each notice is a line of
// its own. Progress is below the notices: on a terminal it is one line that is
// redrawn, elsewhere a new line each time. A screen is safe for concurrent use.
type screen struct {
	quiet bool // no notices
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	drawn bool      // there is a line of progress on the terminal; guarded by mu
}

func newScreen(w io.Writer, quiet bool) *screen { return &screen{w: w, quiet: quiet} }

const eraseLine = "\r\x1b[K"

// notify writes a notice, unless the screen is quiet.
func (s *screen) notify(format string, args ...any) {
	if !s.quiet {
		s.warn(format, args...)
	}
}

// warn writes a notice even if the screen is quiet.
func (s *screen) warn(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
	fmt.Fprintf(s.w, "holdfast: %s\n", strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`))
}

// showProgress writes a line of progress.
func (s *screen) showProgress(line string) {
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

// erase removes the line of progress from the terminal.
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

// fit cuts a line to the width of the terminal, so that it does not wrap.
func (t *terminal) fit(line string) string {
	width, _, err := term.GetSize(int(t.f.Fd()))
	if err != nil || width < 1 || utf8.RuneCountInString(line) < width {
		return line
	}
	return string([]rune(line)[:width-1])
}

// trackProgress shows progress while a command runs: ten times a second on a terminal,
// elsewhere once a second. The returned function stops that and waits until it has
// stopped.
func (s *screen) trackProgress(progress func() string) (stop func()) {
	every := time.Second
	if isTerminal(s.w) {
		every = 100 * time.Millisecond
	}
	ctx, end := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for pause(ctx, every) {
			s.showProgress(progress())
		}
		s.erase()
	}()
	return func() { end(); <-stopped }
}

// barWidth is the width of a bar in cells.
const barWidth = 20

// progressBar draws the done share of a whole as a percentage and a bar.
func progressBar(done, whole int64) string {
	share := float64(done) / float64(max(whole, 1))
	full := min(int(share*barWidth), barWidth)
	return fmt.Sprintf("%3.0f %% %s%s", min(100*share, 100), strings.Repeat("█", full), strings.Repeat("░", barWidth-full))
}
