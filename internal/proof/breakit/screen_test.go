package breakit

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

var update = flag.Bool("update", false, "write the golden file anew")

// busyView is a moment in which much is going on.
func busyView() view {
	start := time.Unix(1000, 0)
	v := view{
		elapsed: 83 * time.Second, start: start, cut: true, rate: 200,
		instances: [2]instanceView{
			{name: "a", state: "up", link: "down, downgraded", oldestWait: 3100 * time.Millisecond, sessions: 6},
			{name: "b", state: "catching up", link: "catching-up"},
		},
		published: 1626, safe: 966, single: 660, delivered: []int{1626, 1625},
		tally: checker.Verdict{Present: 3251, Duplicated: 1},
		faults: []fault{
			{at: start.Add(80 * time.Second), description: "cut the link", ackedAfter: 2 * time.Second},
			{at: start.Add(41 * time.Second), description: "kill -9 b and wipe its disk", ackedAfter: 100 * time.Millisecond, safeAfter: 400 * time.Millisecond},
		},
		question: "b was wiped too and lacks messages that only a has: wipe a anyway? y/n",
	}
	for _, line := range strings.Fields("one two three four five six seven eight nine ten") {
		v.log = append(v.log, "   80.1s  "+line)
	}
	return v
}

func TestScreen(t *testing.T) {
	got := strings.Join(render(busyView(), 80, 24, palette{}), "\n") + "\n"
	file := filepath.Join("testdata", "screen.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the screen is not as in %s (see -update):\n%s", file, got)
	}
}

// Whatever the size, nothing is longer, and colours take no room.
func TestScreenFits(t *testing.T) {
	plain, coloured := palette{}, palette{true}
	for width := range 120 {
		for height := range 40 {
			lines := render(busyView(), width, height, coloured)
			if len(lines) > height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			for i, line := range render(busyView(), width, height, plain) {
				if utf8.RuneCountInString(line) > width || withoutEscapes(lines[i]) != line {
					t.Fatalf("%dx%d: %q, with colours %q", width, height, line, lines[i])
				}
			}
		}
	}
	for _, line := range keyHelp {
		if len(line)+2 > 80 {
			t.Errorf("too long for 80 columns: %s", line)
		}
	}
}

// bare takes the escape codes out.
func withoutEscapes(line string) string {
	var b strings.Builder
	for line != "" {
		if n := escapeLength(line); n > 0 {
			line = line[n:]
			continue
		}
		b.WriteByte(line[0])
		line = line[1:]
	}
	return b.String()
}

// Any flaw, in any location, fails a run.
func TestReport(t *testing.T) {
	published := checker.Keys{"p1": {"1", "2", "3"}}
	for _, tt := range []struct {
		name  string
		spoil func(*report)
		well  bool
		line  string
	}{
		{"all there", func(*report) {}, true, "lost 0 · duplicated 0 · out of order 0"},
		{"lost", func(r *report) { r.locations[1].keys = checker.Keys{"p1": {"1", "3"}} }, false, "lost 1 · duplicated 0 · out of order 0"},
		{"twice", func(r *report) { r.locations[0].keys = checker.Keys{"p1": {"1", "2", "2", "3"}} }, false, "lost 0 · duplicated 1 · out of order 0"},
		{"disordered", func(r *report) { r.locations[0].keys = checker.Keys{"p1": {"1", "3", "2"}} }, false, "lost 0 · duplicated 0 · out of order 1"},
		{"journals differ", func(r *report) { r.differing = 2 }, false, "lost 0 · duplicated 0 · out of order 0 · journals differ in 2 publishers"},
		{"did not settle", func(r *report) { r.restError = errors.New("not within 1m0s") }, false, "lost 0 · duplicated 0 · out of order 0 · did not settle: not within 1m0s"},
		{"both disks were wiped", func(r *report) {
			left := checker.Keys{"p1": {"3"}}
			r.locations = []location{{"subscriber s1", published}, {"journal of a", left}, {"journal of b", left}}
			r.wipedBoth = true
		}, false, "lost 2 · duplicated 0 · out of order 0 · both disks were wiped on request"},
		{"nothing published", func(r *report) { *r = report{} }, false, "lost 0 · duplicated 0 · out of order 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &report{published: published, locations: []location{{"journal of a", published}, {"subscriber s1", published}}}
			tt.spoil(r)
			if r.clean() != tt.well || r.summary() != tt.line {
				t.Errorf("well %v: %s", r.clean(), r.summary())
			}
		})
	}
}

// A subscriber notices a flaw at once.
func TestSubscriberCounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys string
		want checker.Verdict
	}{
		{"in order", "1 2 3", checker.Verdict{Present: 3}},
		{"a hole", "1 4", checker.Verdict{Present: 2, Lost: 2}},
		{"twice", "1 2 2", checker.Verdict{Present: 3, Duplicated: 1}},
		{"an old one", "1 2 3 1", checker.Verdict{Present: 4, Disordered: 1}},
	} {
		s := &subscriber{received: make(checker.Keys), last: make(map[string]int)}
		for _, key := range strings.Fields(tt.keys) {
			s.record("p1", key)
		}
		if got, _, _ := s.counts(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
