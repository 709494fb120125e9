package race

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/detector"
)

// A move is something that may happen at an instance.
type move struct {
	name string
	can  func(i *instance) bool
	do   func(i *instance) error
}

var moves = []move{
	{"logs on", func(i *instance) bool { return i.core == nil }, (*instance).logon},
	{"asks", (*instance).canAsk, (*instance).ask},
	{"takes a frame", func(i *instance) bool { return len(i.inFlight) > 0 }, (*instance).takeFrame},
	{"hears answers", func(i *instance) bool { return i.answered && !i.removed }, (*instance).hearAnswers},
	{"publishes", func(i *instance) bool { return i.isOpen() && !i.core.Deciding() && i.next <= last }, (*instance).publish},
	{"looks again", func(i *instance) bool { return i.isOpen() && i.core.Deciding() }, (*instance).decide},
	{"sends", func(i *instance) bool { return i.unsent }, (*instance).turn},
	{"leaves", func(i *instance) bool { return i.isOpen() && i.leaves }, (*instance).endSession},
	{"removes", func(i *instance) bool { return i.core != nil && !i.isOpen() && !i.removed }, (*instance).remove},
}

// reads reports whether the session is open.
func (i *instance) isOpen() bool { return i.core != nil && i.core.State() == servercore.StateOpen }

func (i *instance) canAsk() bool { return i.asking && i.isOpen() && i.asks < maxAsks }

// A step is a move of one instance.
type step struct{ instance, move int }

func (s step) String() string { return []string{"A", "B"}[s.instance] + " " + moves[s.move].name }

// do makes a step. That a session ends is no error.
func (p *pair) do(s step) error {
	i := p[s.instance]
	err := moves[s.move].do(i)
	if err != nil && i.core != nil && moves[s.move].name != "takes a frame" && moves[s.move].name != "sends" {
		i.core.End(err.Error(), nil)
		err = nil
	}
	i.checkAnswers()
	return err
}

func (p *pair) possible() (list []step) {
	for n, i := range p {
		for m := range moves {
			if moves[m].can(i) {
				list = append(list, step{n, m})
			}
		}
	}
	return list
}

// A search goes through all orders of steps.
type search struct {
	settings
	seen  map[string]bool
	steps int
	ends  int // states in which nothing can happen any more
	full  int // of these, those in which both journals have all numbers
}

// A divergence is an order of steps that ends with one number of two contents.
type divergence struct {
	contents string
	path     []step
}

func (d *divergence) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "one number has two contents: %s", d.contents)
	for n, s := range d.path {
		fmt.Fprintf(&b, "\n%3d %v", n+1, s)
	}
	return b.String()
}

// run searches from the beginning.
func (s *search) run() error {
	s.seen = make(map[string]bool)
	p, err := s.replay(nil)
	if err != nil {
		return err
	}
	return s.explore(p, nil)
}

// replay makes a pair and takes the steps of a path.
func (s *search) replay(path []step) (*pair, error) {
	p, err := newPair(s.settings)
	if err != nil {
		return nil, err
	}
	for _, step := range path {
		if err := p.do(step); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// explore continues from the state at the end of a path. It closes p.
func (s *search) explore(p *pair, path []step) (err error) {
	possible := p.possible()
	if len(possible) == 0 {
		defer p.close()
		return s.checkEnd(p, path)
	}
	for n, next := range possible {
		if n > 0 {
			if p, err = s.replay(path); err != nil {
				return err
			}
		}
		if err := s.takeStep(p, append(slices.Clip(path), next)); err != nil {
			return err
		}
	}
	return nil
}

// take takes the last step of a path and explores the state it leads to, if that
// is a new one. It closes p.
func (s *search) takeStep(p *pair, path []step) error {
	s.steps++
	err := p.do(path[len(path)-1])
	if two := p.diverged(); two != "" {
		return &divergence{two, path}
	}
	if err != nil {
		return fmt.Errorf("%v: %w", path, err)
	}
	if d := p.digest(); !s.seen[d] {
		s.seen[d] = true
		return s.explore(p, path)
	}
	p.close()
	return nil
}

// end judges a state in which nothing can happen any more: a publish is held
// only where the session has asked as often as it may here.
func (s *search) checkEnd(p *pair, path []step) error {
	s.ends++
	full := true
	for _, i := range p {
		full = full && len(i.contents()) == last
		if i.isOpen() && i.core.LoggedOn() && i.core.Deciding() && i.asks < maxAsks {
			return fmt.Errorf("%v: %s holds a publish for ever", path, i.name)
		}
	}
	if full {
		s.full++
	}
	return nil
}

func (s settings) String() string {
	return fmt.Sprintf("have %d, counters %v, leave %v, plain %v", s.have, s.counters, s.leaves, s.plain)
}

// Two copies of a store publish on a pair. In no order of their steps does a number get
// two contents.
func TestNoNumberGetsTwoContents(t *testing.T) {
	sets := []settings{
		{plain: true},
		{counters: [2]uint64{1, 2}},
		{counters: [2]uint64{1, 1}},
		{have: 1, counters: [2]uint64{2, 1}},
		{have: 1, counters: [2]uint64{1, 2}, leaves: true},
		{have: 1, counters: [2]uint64{1, 1}, leaves: true},
	}
	if detector.On { // one without our extensions, one with
		sets = []settings{sets[0], sets[3]}
	}
	for _, set := range sets {
		t.Run(set.String(), func(t *testing.T) {
			t.Parallel()
			s := search{settings: set}
			if err := s.run(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states, %d steps; %d ends, all numbers taken in %d", len(s.seen), s.steps, s.ends, s.full)
			if s.full == 0 {
				t.Error("nobody ever publishes")
			}
		})
	}
}

// Three orders in which both copies had a number accepted when only publishers waited
// that no instance knew. Each shows the purpose of one part of the rule.
func TestTraces(t *testing.T) {
	for _, tt := range []struct {
		name     string
		counters [2]uint64
		steps    string
	}{
		{"a: neither instance has heard of the other session", [2]uint64{1, 2},
			"A logs on, A publishes, B logs on, B publishes"},
		{"b: the answer of an instance that keeps its session overtakes its notice", [2]uint64{2, 1},
			"A logs on, A asks, B takes a frame, A takes a frame, A hears answers, B logs on, B asks, A takes a frame, " +
				"B takes a frame, B hears answers, A publishes, B publishes"},
		{"c: the answer of an instance overtakes the record that it tells of", [2]uint64{1, 2},
			"A logs on, A asks, B takes a frame, A takes a frame, A hears answers, A publishes, B logs on, B asks, " +
				"A takes a frame, B takes a frame, B hears answers, B publishes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := newPair(settings{have: 1, counters: tt.counters})
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			for step := range strings.SplitSeq(tt.steps, ", ") {
				p.mustDo(t, p.named(t, step))
			}
			for n := range 100 { // to the end
				if list := p.possible(); len(list) > 0 {
					p.mustDo(t, list[n%len(list)])
				}
			}
		})
	}
}

// named returns the step of that name, which must be possible.
func (p *pair) named(t *testing.T, name string) step {
	t.Helper()
	for _, s := range p.possible() {
		if s.String() == name {
			return s
		}
	}
	t.Fatalf("%s: only %v are possible", name, p.possible())
	return step{}
}

func (p *pair) mustDo(t *testing.T, s step) {
	t.Helper()
	err := p.do(s)
	if two := p.diverged(); two != "" {
		t.Fatalf("%v: one number has two contents: %s", s, two)
	}
	if err != nil {
		t.Fatalf("%v: %v", s, err)
	}
}
