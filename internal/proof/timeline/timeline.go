// Package timeline prints the events of an example with their times.
package timeline

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// A Timeline prints events, with the time since the start, above a progress bar if the
// output is a terminal. Safe for concurrent use.
type Timeline struct {
	start    time.Time
	terminal bool

	mu  sync.Mutex
	bar string // guarded by mu; the bar on the screen
}

// New returns a timeline that begins now.
func New() *Timeline {
	info, err := os.Stdout.Stat()
	return &Timeline{start: time.Now(), terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

// Printf prints one line.
func (t *Timeline) Printf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Printf("%8.3fs  %s\n", time.Since(t.start).Seconds(), fmt.Sprintf(format, args...))
	fmt.Print(t.bar)
}

// Progress moves the bar.
func (t *Timeline) Progress(done, all int, note string) {
	if !t.terminal {
		return
	}
	const width = 32
	full := min(width, width*done/max(1, all))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	t.bar = fmt.Sprintf("  [%s%s] %d of %d %s", strings.Repeat("#", full), strings.Repeat(".", width-full), done, all, note)
	fmt.Print(t.bar)
}

// ClearBar takes the bar off the screen.
func (t *Timeline) ClearBar() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	t.bar = ""
}

// clear wipes the bar; mu is held.
func (t *Timeline) clear() {
	if t.bar != "" {
		fmt.Printf("\r%s\r", strings.Repeat(" ", len(t.bar)))
	}
}
