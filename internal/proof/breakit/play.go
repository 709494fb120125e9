package breakit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// frameInterval is how often the screen is drawn.
const frameInterval = 100 * time.Millisecond

// ctrlC is the byte of the key in a raw terminal.
const ctrlC = 3

// A player presses the keys.
type player struct {
	w        *world
	question string // asked, to be answered with y or n
	onYes    func() // done if the answer is y
}

// press does the action of a key. Long actions run in the background.
func (p *player) press(ctx context.Context, key byte) {
	if p.question != "" {
		if key == 'y' || key == 'Y' {
			p.onYes()
		}
		p.question, p.onYes = "", nil
		return
	}
	w := p.w
	switch key {
	case 'k':
		w.toggleKill(ctx, 0)
	case 'K':
		w.toggleKill(ctx, 1)
	case 's':
		w.toggleStop(ctx, 0)
	case 'S':
		w.toggleStop(ctx, 1)
	case 'c':
		w.toggleCable(ctx)
	case 'w':
		p.wipe(ctx, 0)
	case 'W':
		p.wipe(ctx, 1)
	case 'r':
		w.logf("repair all")
		w.repair(ctx)
	}
}

// wipe asks first if the other disk may not have everything that is safe.
func (p *player) wipe(ctx context.Context, i int) {
	if p.w.mayWipe(i) {
		p.w.wipeInstance(ctx, i)
		return
	}
	p.question = fmt.Sprintf("%s was wiped too and lacks messages that only %[2]s has: wipe %[2]s anyway? y/n",
		p.w.pair[1-i].Name, p.w.pair[i].Name)
	p.onYes = func() {
		p.w.wipedBoth.Store(true)
		p.w.wipeInstance(ctx, i)
	}
}

// play shows the screen and lets the reader press keys, until q or ctx ends.
func play(ctx context.Context, o options, dir string, command []string) (passed bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var started atomic.Bool // from then on the log is on the screen
	w, err := newWorld(ctx, dir, command, o.rate, func(line string) {
		if !started.Load() {
			fmt.Println(line)
		}
	})
	if err != nil {
		return false, err
	}
	defer w.close()
	defer stop() // before close, which waits for goroutines with this context
	started.Store(true)
	r, err := runScreen(ctx, w)
	if err != nil || r == nil { // nil: its user did not want to wait
		return err == nil, err
	}
	passed, err = saveAndPrint(r, dir)
	return passed, errors.Join(w.err(), err)
}

// runScreen is play while the terminal is taken over. It returns the last
// judgement, nil if the reader did not wait for one.
func runScreen(ctx context.Context, w *world) (*report, error) {
	t, err := openTerminal()
	if err != nil {
		return nil, err
	}
	defer t.close() // also when something panics
	s := screenPlayer{player: player{w: w}, t: t, colours: palette{colours()}}
	tick := time.NewTicker(frameInterval)
	defer tick.Stop()
	for {
		s.draw()
		select {
		case <-tick.C:
			if err := w.err(); err != nil {
				return nil, err
			}
		case key := <-t.keys:
			if s.onKey(ctx, key) {
				return nil, nil
			}
		case r := <-s.judged:
			if s.onJudgement(ctx, r) {
				return r.report, r.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A screenPlayer is a player with a screen.
type screenPlayer struct {
	player
	t       *terminal
	colours palette

	judged  chan judgement // not nil while a judgement is under way
	leaving bool           // after it
	verdict string
	passed  bool
	rates   []int // published at the last frames
}

// A judgement is the result of judge.
type judgement struct {
	report *report
	err    error
}

// onKey takes a key; it returns true if the reader wants to leave at once.
func (s *screenPlayer) onKey(ctx context.Context, key byte) (leave bool) {
	quit := key == 'q' || key == 'Q'
	switch {
	case key == ctrlC, quit && s.leaving:
		return true
	case s.judged != nil:
		s.leaving = s.leaving || quit
	case quit, key == 'd' || key == 'D':
		s.leaving, s.question = quit, ""
		s.verdict, s.passed = "judging …", true
		s.judged = make(chan judgement, 1)
		judged := s.judged
		s.w.running.Go(func() {
			r, err := s.w.judge(ctx)
			judged <- judgement{r, err}
		})
	default:
		s.press(ctx, key)
	}
	return false
}

// onJudgement takes a judgement; it returns true if that was the last.
func (s *screenPlayer) onJudgement(ctx context.Context, j judgement) (last bool) {
	s.judged = nil
	if s.leaving || j.err != nil {
		return true
	}
	s.verdict, s.passed = fmt.Sprintf("of %d: %s", j.report.published.Len(), j.report.summary()), j.report.clean()
	s.w.logf("judged: %s", s.verdict)
	s.w.resume(ctx)
	return false
}

// draw shows the moment.
func (s *screenPlayer) draw() {
	v := s.w.view()
	const second = int(time.Second / frameInterval)
	s.rates = append(s.rates, v.published)
	s.rates = s.rates[max(0, len(s.rates)-3*second-1):]
	if n := len(s.rates) - 1; n > 0 {
		v.rate = float64(s.rates[n]-s.rates[0]) / (float64(n) * frameInterval.Seconds())
	}
	v.question, v.verdict, v.passed = s.question, s.verdict, s.passed
	width, height := s.t.size()
	s.t.show(render(v, width, height, s.colours))
}
