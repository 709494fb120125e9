package breakit

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A view is the content of the screen at one moment.
type view struct {
	elapsed   time.Duration
	instances [2]instanceView
	cut       bool
	rate      float64 // published a second
	published int
	safe      int
	single    int // acknowledged by one server, and kept
	delivered []int
	tally     checker.Verdict
	faults    []fault // the newest first
	start     time.Time
	log       []string
	question  string // to be answered with y or n
	verdict   string // of the last judgement
	passed    bool
}

// An instanceView is the part of the screen about an instance.
type instanceView struct {
	name       string
	state      string // up, down, stopped, silent, or the running action
	link       string
	oldestWait time.Duration // how long the oldest has waited for the peer
	sessions   int
}

// view takes the moment's view.
func (w *world) view() view {
	v := view{
		elapsed: time.Since(w.start), start: w.start,
		published: w.fleet.Published(), safe: w.fleet.Safe(), single: w.fleet.Acknowledged() - w.fleet.Safe(),
		faults: w.lastFaults(faultLines),
	}
	var servers []string
	for _, s := range w.subscribers {
		t, server, _ := s.counts()
		v.delivered = append(v.delivered, t.Present)
		v.tally = v.tally.Add(t)
		servers = append(servers, server)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	v.cut, v.log = w.cut, append(v.log, w.log...)
	for i, in := range w.pair {
		side := w.states[i]
		show := instanceView{name: in.Name, state: side.state(in.Alive(), in.Suspended()), link: "-", sessions: w.fleet.Sessions(in.URI())}
		for _, server := range servers {
			if server == in.URI() {
				show.sessions++
			}
		}
		if side.answers && len(side.status.Links) > 0 {
			link := side.status.Links[0]
			show.link, show.oldestWait = link.State, time.Duration(link.OldestWaitMS)*time.Millisecond
			if link.Ack == "downgraded" {
				show.link += ", downgraded"
			}
		}
		v.instances[i] = show
	}
	return v
}

// state is an instance's state in a word.
func (s *instanceState) state(alive, stopped bool) string {
	switch {
	case s.activity != "":
		return s.activity
	case !alive:
		return "down"
	case stopped:
		return "stopped"
	case !s.answers:
		return "silent"
	case !s.status.Ready:
		return "not ready"
	case s.status.CatchingUp:
		return "catching up"
	}
	return "up"
}

// A palette colours text, or doesn't.
type palette struct{ on bool }

func (p palette) paint(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p palette) good(text string) string { return p.paint("32", text) }
func (p palette) bad(text string) string  { return p.paint("1;31", text) }
func (p palette) warn(text string) string { return p.paint("33", text) }
func (p palette) dim(text string) string  { return p.paint("2", text) }
func (p palette) bold(text string) string { return p.paint("1", text) }

// keyHelp is the text of the last two lines of the screen.
var keyHelp = []string{
	"k/K kill or start a/b   s/S stop or continue a/b   c cut or mend the link",
	"w/W wipe a/b   r repair all   d judge, go on   q judge, quit (qq: at once)",
}

// render returns the lines of the screen: height of them at most, none longer than width.
func render(v view, width, height int, p palette) []string {
	lines := []string{
		p.bold("holdfast: break it") + p.dim(fmt.Sprintf("    %s since the start", v.elapsed.Round(time.Second))),
		"",
	}
	for _, i := range v.instances {
		lines = append(lines, i.line(p))
	}
	lines = append(lines, "", "  link between them: "+cableState(v.cut, p), "")
	lines = append(lines, counters(v, p)...)
	lines = append(lines, "")
	foot := footer(v, p)
	room := max(0, height-len(lines)-len(foot))
	lines = append(lines, faultsAndLog(v, room, p)...)
	lines = append(lines, foot...)
	lines = lines[:min(len(lines), height)]
	for i := range lines {
		lines[i] = truncate(lines[i], width)
	}
	return lines
}

func (i instanceView) line(p palette) string {
	state := fmt.Sprintf("%-12s", i.state)
	switch i.state {
	case "up":
		state = p.good(state)
	case "down", "stopped", "silent":
		state = p.bad(state)
	default:
		state = p.warn(state)
	}
	link := fmt.Sprintf("%-22s", i.link)
	if i.link != "sync" {
		link = p.warn(link)
	}
	return fmt.Sprintf("  %s  %s  link %s oldest waits %4.1f s   %s", p.bold(i.name), state, link, i.oldestWait.Seconds(), clientCount(i.sessions))
}

func clientCount(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

func cableState(cut bool, p palette) string {
	if cut {
		return p.bad("CUT")
	}
	return p.good("whole")
}

// counters are the lines with the numbers.
func counters(v view, p palette) []string {
	var delivered []string
	for _, n := range v.delivered {
		delivered = append(delivered, fmt.Sprint(n))
	}
	row := func(name, value, note, harm string, n int) string {
		number := p.good(fmt.Sprint(n))
		if n > 0 {
			number = p.bad(fmt.Sprint(n))
		}
		return fmt.Sprintf("  %-10s %-15s %-20s %-13s %s", name, value, note, harm, number)
	}
	return []string{
		row("published", fmt.Sprint(v.published), fmt.Sprintf("%.0f a second", v.rate), "lost", v.tally.Lost),
		row("safe", fmt.Sprint(v.safe), fmt.Sprintf("%d on one disk", v.single), "duplicated", v.tally.Duplicated),
		row("delivered", strings.Join(delivered, ", "), "to each subscriber", "out of order", v.tally.Disordered),
	}
}

// faultsAndLog are the last faults and the end of the log, in room lines.
func faultsAndLog(v view, room int, p palette) []string {
	var lines []string
	faults := min(len(v.faults), max(0, room-3)/2)
	if faults > 0 {
		lines = append(lines, p.dim("  last faults"))
	}
	for _, f := range v.faults[:faults] {
		lines = append(lines, fmt.Sprintf("%7.1fs  %-30s  %s", f.at.Sub(v.start).Seconds(), f.description, f.describe()))
	}
	left := room - len(lines) - 1
	if left > 0 {
		lines = append(lines, p.dim("  log"))
		lines = append(lines, v.log[max(0, len(v.log)-left):]...)
	}
	for len(lines) < room {
		lines = append(lines, "")
	}
	return lines[:room]
}

// footer are the last lines: the verdict or a question, and the keys.
func footer(v view, p palette) []string {
	line := ""
	switch {
	case v.question != "":
		line = p.warn("  " + v.question)
	case v.verdict != "" && v.passed:
		line = p.good("  " + v.verdict)
	case v.verdict != "":
		line = p.bad("  " + v.verdict)
	}
	return []string{line, p.dim("  " + keyHelp[0]), p.dim("  " + keyHelp[1])}
}

// truncate cuts a line to width columns. Escape codes take none.
func truncate(line string, width int) string {
	var b strings.Builder
	column := 0
	for len(line) > 0 {
		if n := escapeLength(line); n > 0 {
			b.WriteString(line[:n])
			line = line[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(line)
		if column < width {
			b.WriteRune(r)
			column++
		}
		line = line[n:]
	}
	return b.String()
}

// escapeLength returns the length of the escape code that line begins with, 0 if it does not.
func escapeLength(line string) int {
	if !strings.HasPrefix(line, "\x1b[") {
		return 0
	}
	return strings.IndexByte(line, 'm') + 1
}
