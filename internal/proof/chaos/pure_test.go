//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestReadSkips(t *testing.T) {
	got, err := readSkips("# what may be missing\nchaos power no loop devices there\n\nrace gcc\nchaos eio no strace\n")
	if want := []string{"power", "eio"}; !slices.Equal(got, want) || err != nil {
		t.Errorf("readSkips = %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"chaos", "chaos eio", "chaos none no reason\n"} {
		if got, err := readSkips(bad); err == nil {
			t.Errorf("readSkips of %q = %q", bad, got)
		}
	}
}

// A seed is a run: the same faults, each kind once in every round.
func TestSchedule(t *testing.T) {
	for seed := range uint64(50) {
		a, b := scheduleOf(t, options{Seed: seed}), scheduleOf(t, options{Seed: seed})
		for range 3 {
			round := make(map[string]bool)
			for range faultKinds {
				f, again := a.next(), b.next()
				if f.name != again.name || f.victim != again.victim || f.length != again.length || f.hurried != again.hurried {
					t.Fatalf("seed %d drew %+v, then %+v", seed, f, again)
				}
				if f.length < f.least || f.length > f.most {
					t.Fatalf("seed %d: %s for %v", seed, f.name, f.length)
				}
				round[f.name] = true
			}
			if len(round) != len(faultKinds) {
				t.Fatalf("seed %d: a round has %d kinds, want %d", seed, len(round), len(faultKinds))
			}
		}
	}
}

// With quotas, that many faults of each group are drawn and then none.
func TestScheduleCounted(t *testing.T) {
	s := scheduleOf(t, options{Seed: 3, Kills: 600, Partitions: 50})
	groups, names := make(map[group]int), make(map[string]int)
	for f := s.next(); f != nil; f = s.next() {
		groups[f.group]++
		names[f.name]++
	}
	if groups[groupKills] != 600 || groups[groupPartitions] != 50 || len(groups) != 2 {
		t.Errorf("faults by group: %v", groups)
	}
	if names["kill"] != 300 || names["kill-both"] != 100 || names["flap"] != 10 {
		t.Errorf("faults by kind: %v", names)
	}
	if _, err := newSchedule(options{Kills: 5, Partitions: 5}, kindsNamed([]string{"kill", "eio"})); err == nil {
		t.Error("a schedule of partitions without a kind of them")
	}
}

func scheduleOf(t *testing.T, o options) *schedule {
	t.Helper()
	s, err := newSchedule(o, kindsNamed(nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKinds(t *testing.T) {
	names := make(map[string]bool)
	for _, k := range faultKinds {
		if names[k.name] || k.inject == nil || k.least > k.most || kindOf(k.name) == nil {
			t.Errorf("kind %+v", k)
		}
		names[k.name] = true
	}
	if got := kindsNamed([]string{"stop", "kill"}); len(got) != 2 {
		t.Errorf("%d kinds of two names", len(got))
	}
	if kindOf("none") != nil {
		t.Error("a kind of no name")
	}
}

func TestRules(t *testing.T) {
	r := cutFrom(true, hostX, hostY)
	if want := []string{"ip saddr { 10.77.0.11, 10.77.0.12 } drop"}; !slices.Equal(r.in, want) {
		t.Errorf("in: %q", r.in)
	}
	if want := []string{"ip daddr { 10.77.0.11, 10.77.0.12 } drop"}; !slices.Equal(r.out, want) {
		t.Errorf("out: %q", r.out)
	}
	if r := cutFrom(false, hostX); len(r.out) > 0 {
		t.Errorf("one way cuts the other: %q", r.out)
	}
}

func TestBody(t *testing.T) {
	largest := 0
	for n := range uint64(3000) {
		text := bodyOf("x1", n)
		largest = max(largest, len(text))
		if p, m, err := readBody(text); p != "x1" || m != n || err != nil {
			t.Fatalf("readBody = %s %d, %v", p, m, err)
		}
	}
	if largest < 64<<10 {
		t.Errorf("the largest body is of %d bytes", largest)
	}
	changed := bodyOf("x1", 7)
	changed[len(changed)-3] = 'y'
	if _, _, err := readBody(changed); err == nil {
		t.Error("a changed body was taken")
	}
}

func TestWatch(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	w := newWatch(begin, []string{"p", "q"}, []string{"s"})
	w.served(w.acks, "p", at(time.Second), true)
	w.served(w.acks, "q", at(2*time.Second), false) // of a message published before
	w.served(w.deliveries, "s", at(3*time.Second), true)
	w.served(w.acks, "another", at(time.Second), true)
	if w.recovered() {
		t.Error("recovered although q got nothing new")
	}
	w.served(w.acks, "q", at(2500*time.Millisecond), true)
	if !w.recovered() {
		t.Error("not recovered")
	}
	if first, last := w.recoveryTimes(w.acks); first != time.Second || last != 2500*time.Millisecond {
		t.Errorf("next acks after %v and %v", first, last)
	}
	if got := silence(w.acks); got != 2*time.Second {
		t.Errorf("%v without an ack", got)
	}
	w.setFaultTime(at(4 * time.Second))
	if w.recovered() || silence(w.deliveries) != 3*time.Second {
		t.Error("a new fault time must reset the service, not the silence")
	}
}

// The recorder measures by the time at which a message was published, not by when it
// heard of it.
func TestLedger(t *testing.T) {
	var wrong []string // the reported events
	l, err := newRecorder(filepath.Join(t.TempDir(), "history"), func(client, text string) { wrong = append(wrong, client+" "+text) })
	if err != nil {
		t.Fatal(err)
	}
	words := func(ws ...historyEvent) {
		for _, w := range ws {
			l.record(w)
		}
	}
	words(historyEvent{Time: 10, Kind: eventPublished, Client: "p", N: 1, Sequence: 1}, historyEvent{Time: 11, Kind: eventBegun, Client: "s"})
	l.watch(newWatch(time.UnixMicro(20), []string{"p"}, []string{"s"}))
	words(historyEvent{Time: 25, Kind: eventAcked, Client: "p", Sequence: 1}, historyEvent{Time: 26, Kind: eventHanded, Client: "s", Publisher: "p", N: 1})
	if l.recovered() {
		t.Error("recovered by what was published before the fault")
	}
	words(historyEvent{Time: 30, Kind: eventAcked, Client: "p", Sequence: 2}) // heard before its publish
	words(historyEvent{Time: 29, Kind: eventPublished, Client: "p", N: 2, Sequence: 2})
	words(historyEvent{Time: 31, Kind: eventPublished, Client: "p", N: 3, Sequence: 3}, historyEvent{Time: 32, Kind: eventAcked, Client: "p", Sequence: 3})
	words(historyEvent{Time: 33, Kind: eventHanded, Client: "s", Publisher: "p", N: 3})
	if !l.recovered() {
		t.Error("not recovered")
	}
	if len(wrong) > 0 {
		t.Errorf("wrong: %q", wrong)
	}
	words(historyEvent{Time: 35, Kind: eventStrange, Client: "p", Text: "rejected"})
	l.recordLine("goroutine 1 [running]")
	if len(wrong) != 2 {
		t.Errorf("a rejection and an invalid event: %q", wrong)
	}
	if next := l.publishersKilled([]string{"p"}); !slices.Equal(next, []uint64{5}) {
		t.Errorf("p goes on at %v", next)
	}
	if n, received := l.totals([]string{"s"}); n != 3 || received != 2 {
		t.Errorf("%d published, %d received", n, received)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// judge reads the directory of a run. The rules have tests of their own in package
// checker; these tests are about the reading.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		harm func(*remains)
		want string // of the first violation; empty: none
	}{
		{"all there", func(*remains) {}, ""},
		{"the doubtful one there", func(r *remains) {
			r.a, r.b = append(r.a, rec(1, 3, 3)), append(r.b, rec(1, 3, 3))
			r.hand("subscriber-x", 3)
			r.hand("subscriber-y", 3)
			r.x, r.y = append(r.x, "p-3 2"), append(r.y, "p-3 1")
		}, ""},
		{"a process that was killed before it said anything", func(r *remains) {
			for i := range r.history {
				if w := &r.history[i]; w.Client == "subscriber-x" && w.Kind == eventBegun && w.N == 2 {
					w.N = 3
				}
			}
			r.x[1] = "p-2 3"
		}, ""},
		{"the doubtful one in one journal only", func(r *remains) { r.a = append(r.a, rec(1, 3, 3)) }, "G5: a has 1|3| but b does not"},
		{"lost on a", func(r *remains) { r.a, r.history[3].Sequence = r.a[:1], 1 }, "G1: a lacks p-2"},
		{"acknowledged as safe, and on one disk", func(r *remains) { r.b = r.b[:1] }, "G2: the store of p let go up to 1|2|"},
		{"twice on b, with two identities", func(r *remains) { r.b = append(r.b, rec(1, 3, 2)) }, "G3: b has p-2"},
		{"one identity twice", func(r *remains) { r.a = append(r.a, rec(1, 2, 2)) }, "G3: a has 1|2| twice"},
		{"another content on b", func(r *remains) { r.b[1].Sum = 1 }, "G5: 1|2| is not the same on b"},
		{"another topic on both", func(r *remains) { r.a[0].Topic, r.b[0].Topic = "no", "no" }, "G1: a has p-1 under topic no"},
		{"behind a hole", func(r *remains) { r.b[1].Prev = 9 }, "G4: b lacks the message before 1|2|"},
		{"under another number", func(r *remains) { r.history[0].Sequence = 5 }, "G1: a has p-1 as 1|1|: it was accepted as 5"},
		{"never published", func(r *remains) { r.a, r.b = append(r.a, rec(1, 3, 9)), append(r.b, rec(1, 3, 9)) }, "G1: a has 1|3|, which nobody published"},
		{"something strange", func(r *remains) {
			r.history = append(r.history, historyEvent{Kind: eventStrange, Client: "p", Text: "no"})
		}, "G7: p: no"},
		{"handed to y twice", func(r *remains) { r.hand("subscriber-y", 2); r.y = append(r.y, "p-2 1") }, "G6: subscriber-y, process 1 was handed 1|2| twice"},
		{"handed to x again although it had kept it", func(r *remains) { r.hand("subscriber-x", 1); r.x = append(r.x, "p-1 2") }, "was handed 1|1| behind 2"},
		{"kept by y twice", func(r *remains) { r.y = append(r.y, "p-2 1") }, "G7: subscriber-y kept p-2 more often"},
		{"not kept by y", func(r *remains) { r.y = r.y[:1] }, "G7: subscriber-y was handed p-2 and did not keep it"},
		{"not handed to y", func(r *remains) { r.history, r.y = r.history[:len(r.history)-1], r.y[:1] }, "at the end was not handed 1|2|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := remains{
				history: []historyEvent{{Kind: eventPublished, Client: "p", N: 1, Sequence: 1}, {Kind: eventPublished, Client: "p", N: 2, Sequence: 2},
					{Kind: eventDoubtful, Client: "p", N: 3}, {Kind: eventAcked, Client: "p", Sequence: 2}},
				a: []record{rec(1, 1, 1), rec(1, 2, 2)},
				b: []record{rec(1, 1, 1), rec(1, 2, 2)},
				x: []string{"p-1 1", "p-2 2"}, // the first process was killed over p-2
				y: []string{"p-1 1", "p-2 1"},
			}
			r.history = append(r.history, historyEvent{Kind: eventBegun, Client: "subscriber-x", N: 1})
			r.hand("subscriber-x", 1, 2)
			r.history = append(r.history, historyEvent{Kind: eventBegun, Client: "subscriber-x", N: 2})
			r.hand("subscriber-x", 2)
			r.history = append(r.history, historyEvent{Kind: eventBegun, Client: "subscriber-y", N: 1})
			r.hand("subscriber-y", 1, 2)
			tt.harm(&r)
			f, err := judge(r.write(t))
			if err != nil {
				t.Fatal(err)
			}
			if passed := f.print(io.Discard); passed != (tt.want == "") || len(f.found) > 0 && !strings.Contains(f.found[0].String(), tt.want) {
				t.Errorf("found %q, want %q", f.found, tt.want)
			}
		})
	}
}

// A run in which nothing happened is not well.
func TestJudgeNothing(t *testing.T) {
	f, err := judge(remains{}.write(t))
	if err != nil || f.print(io.Discard) {
		t.Errorf("well, %v", err)
	}
}

// remains are the files that a run leaves in its directory.
type remains struct {
	history []historyEvent
	a, b    []record
	x, y    []string // the messages that the subscribers kept
}

// hand adds that p's messages were handed to a subscriber.
func (r *remains) hand(subscriber string, numbers ...uint64) {
	for _, n := range numbers {
		r.history = append(r.history, historyEvent{Kind: eventHanded, Client: subscriber, Publisher: "p", N: n, ID: 1, Sequence: n})
	}
}

// rec is the record of p's message n.
func rec(publisher, s, n uint64) record {
	return record{Publisher: publisher, Sequence: s, Prev: s - 1, Kind: frameMessage, Sum: uint32(n + 100), Topic: topicOf("p"), Name: "p", N: n}
}

func (r remains) write(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeLines(t, filepath.Join(dir, "history.jsonl"), r.history)
	writeLines(t, filepath.Join(dir, "journal-a.jsonl"), r.a)
	writeLines(t, filepath.Join(dir, "journal-b.jsonl"), r.b)
	for name, got := range map[string][]string{"x": r.x, "y": r.y} {
		writeReceived(t, filepath.Join(dir, "subscriber-"+name+".db"), got)
	}
	return dir
}

func writeLines[T any](t *testing.T, file string, list []T) {
	t.Helper()
	var b strings.Builder
	for _, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeReceived(t *testing.T, file string, got []string) {
	t.Helper()
	db, err := bbolt.Open(file, 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(received)
		for i, n := range got {
			err = errors.Join(err, bucket.Put([]byte{byte(i)}, []byte(n)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPrintOutcomes(t *testing.T) {
	var b strings.Builder
	printOutcomes(&b, []outcome{{"kill", true, 0, time.Second, 2 * time.Second, 0}, {"kill", false, 0, 3 * time.Second, time.Hour, 0},
		{"stop", false, 0, 0, 0, 0}, {"stop", true, time.Minute, time.Minute, time.Minute, time.Minute}})
	for _, want := range []string{
		"kill                  2        3s      3s      3s        2s      2s      2s",
		"stop                  2        0s      0s      0s         -       -       -",
		"all                   4        1s      3s",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
