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

	"github.com/holdfast-mq/holdfast/internal/verdict"
)

func TestReadSkips(t *testing.T) {
	got := readSkips("# what may be missing\nchaos power no loop devices there\n\nrace gcc\nchaos eio\nchaos\n")
	if want := []string{"power", "eio"}; !slices.Equal(got, want) {
		t.Errorf("readSkips = %q, want %q", got, want)
	}
}

// A seed is a run: the same faults, each kind once in every round.
func TestSchedule(t *testing.T) {
	for seed := range uint64(50) {
		a, b := schedule{seed: seed, kinds: wanted(nil)}, schedule{seed: seed, kinds: wanted(nil)}
		for range 3 {
			round := make(map[string]bool)
			for range kinds {
				f, again := a.next(), b.next()
				if f.name != again.name || f.victim != again.victim || f.length != again.length || f.hurried != again.hurried {
					t.Fatalf("seed %d drew %+v, then %+v", seed, f, again)
				}
				if f.length < f.least || f.length > f.most {
					t.Fatalf("seed %d: %s for %v", seed, f.name, f.length)
				}
				round[f.name] = true
			}
			if len(round) != len(kinds) {
				t.Fatalf("seed %d: a round of %d kinds, there are %d", seed, len(round), len(kinds))
			}
		}
	}
}

func TestKinds(t *testing.T) {
	names := make(map[string]bool)
	for _, k := range kinds {
		if names[k.name] || k.strike == nil || k.least > k.most || kindOf(k.name) == nil {
			t.Errorf("kind %+v", k)
		}
		names[k.name] = true
	}
	if got := wanted([]string{"stop", "kill"}); len(got) != 2 {
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
	w.served(w.acks, "q", at(2*time.Second), false) // of what was published before
	w.served(w.deliveries, "s", at(3*time.Second), true)
	w.served(w.acks, "another", at(time.Second), true)
	if w.recovered() {
		t.Error("recovered although q got nothing new")
	}
	w.served(w.acks, "q", at(2500*time.Millisecond), true)
	if !w.recovered() {
		t.Error("not recovered")
	}
	if first, last := w.next(w.acks); first != time.Second || last != 2500*time.Millisecond {
		t.Errorf("next acks after %v and %v", first, last)
	}
	if got := silence(w.acks); got != 2*time.Second {
		t.Errorf("%v without an ack", got)
	}
	w.remark(at(4 * time.Second))
	if w.recovered() || silence(w.deliveries) != 3*time.Second {
		t.Error("a new mark ends what was served, not the silence")
	}
}

// The ledger measures by the time of what was published, not by when it heard of it.
func TestLedger(t *testing.T) {
	var wrong []string
	l, err := newLedger(filepath.Join(t.TempDir(), "history"), func(client, text string) { wrong = append(wrong, client+" "+text) })
	if err != nil {
		t.Fatal(err)
	}
	words := func(ws ...word) {
		for _, w := range ws {
			l.note(w)
		}
	}
	words(word{Time: 10, What: published, Client: "p", N: 1, Sequence: 1}, word{Time: 11, What: begun, Client: "s"})
	l.watch(newWatch(time.UnixMicro(20), []string{"p"}, []string{"s"}))
	words(word{Time: 25, What: acked, Client: "p", Sequence: 1}, word{Time: 26, What: handed, Client: "s", Publisher: "p", N: 1})
	if l.recovered() {
		t.Error("recovered by what was published before the fault")
	}
	words(word{Time: 30, What: acked, Client: "p", Sequence: 2}) // heard before its publish
	words(word{Time: 29, What: published, Client: "p", N: 2, Sequence: 2})
	words(word{Time: 31, What: published, Client: "p", N: 3, Sequence: 3}, word{Time: 32, What: acked, Client: "p", Sequence: 3})
	words(word{Time: 33, What: handed, Client: "s", Publisher: "p", N: 3})
	if !l.recovered() {
		t.Error("not recovered")
	}
	if len(wrong) > 0 {
		t.Errorf("wrong: %q", wrong)
	}
	words(word{Time: 34, What: handed, Client: "s", Publisher: "p", N: 2}, word{Time: 35, What: strange, Client: "p", Text: "rejected"})
	if len(wrong) != 2 {
		t.Errorf("out of order and a rejection: %q", wrong)
	}
	words(word{Time: 36, What: begun, Client: "s"}, word{Time: 37, What: handed, Client: "s", Publisher: "p", N: 2})
	if len(wrong) != 2 {
		t.Errorf("a new process may be handed it again: %q", wrong)
	}
	if next := l.died([]string{"p"}); !slices.Equal(next, []uint64{5}) {
		t.Errorf("p goes on at %v", next)
	}
	if n, _, received := l.totals(); n != 3 || received != 4 {
		t.Errorf("%d published, %d received", n, received)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
}

// The judge must see each kind of harm in each place.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name string
		well bool
		harm func(*evidence)
	}{
		{"all there", true, func(*evidence) {}},
		{"the doubtful one there", true, func(e *evidence) {
			e.a = append(e.a, rec("1", 3, 3))
			e.b = append(e.b, rec("1", 3, 3))
			e.x, e.y = append(e.x, 3), append(e.y, 3)
		}},
		{"the doubtful one in one journal only", false, func(e *evidence) { e.a = append(e.a, rec("1", 3, 3)) }},
		{"lost on a", false, func(e *evidence) { e.a = e.a[:1] }},
		{"lost on both", false, func(e *evidence) { e.a, e.b = e.a[:1], e.b[:1] }},
		{"twice on b, with two identities", false, func(e *evidence) { e.b = append(e.b, rec("1", 3, 2)) }},
		{"twice on both, of two publishers", false, func(e *evidence) { e.a, e.b = append(e.a, rec("2", 1, 1)), append(e.b, rec("2", 1, 1)) }},
		{"one identity twice", false, func(e *evidence) {
			e.a, e.b = append(e.a, rec("1", 2, 2)), append(e.b, rec("1", 2, 2))
		}},
		{"another content on b", false, func(e *evidence) { e.b[1].Sum = 1 }},
		{"behind a hole on both", false, func(e *evidence) {
			e.a[1].Sequence, e.a[1].Prev, e.b[1].Sequence, e.b[1].Prev = 3, 2, 3, 2
		}},
		{"never published", false, func(e *evidence) { e.a, e.b = append(e.a, rec("1", 3, 9)), append(e.b, rec("1", 3, 9)) }},
		{"not delivered to x", false, func(e *evidence) { e.x = e.x[:1] }},
		{"delivered to y twice", false, func(e *evidence) { e.y = append(e.y, 2) }},
		{"delivered to x out of order", false, func(e *evidence) { e.x = []uint64{2, 1} }},
		{"nothing happened", false, func(e *evidence) { *e = evidence{} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := evidence{
				history: []word{{What: published, Client: "p", N: 1}, {What: published, Client: "p", N: 2}, {What: doubtful, Client: "p", N: 3}},
				a:       []record{rec("1", 1, 1), rec("1", 2, 2)},
				b:       []record{rec("1", 1, 1), rec("1", 2, 2)},
				x:       []uint64{1, 2},
				y:       []uint64{1, 2},
			}
			tt.harm(&e)
			f, err := judge(e.write(t))
			if err != nil {
				t.Fatal(err)
			}
			if well := f.print(io.Discard); well != tt.well {
				var b strings.Builder
				f.print(&b)
				t.Errorf("well = %v\n%s", well, b.String())
			}
		})
	}
}

// evidence is what a run leaves in its directory.
type evidence struct {
	history []word
	a, b    []record
	x, y    []uint64
}

// rec is the record of p's message n.
func rec(publisher string, s, n uint64) record {
	return record{Publisher: publisher, Sequence: s, Prev: s - 1, Kind: frameMessage, Sum: uint32(n + 100), Name: "p", N: n}
}

func (e evidence) write(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeLines(t, filepath.Join(dir, "history.jsonl"), e.history)
	writeLines(t, filepath.Join(dir, "journal-a.jsonl"), e.a)
	writeLines(t, filepath.Join(dir, "journal-b.jsonl"), e.b)
	for name, got := range map[string][]uint64{"x": e.x, "y": e.y} {
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

func writeReceived(t *testing.T, file string, got []uint64) {
	t.Helper()
	db, err := bbolt.Open(file, 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket(received)
		for i, n := range got {
			err = errors.Join(err, bucket.Put([]byte{byte(i)}, fmt.Appendf(nil, "p %d", n)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPrintOutcomes(t *testing.T) {
	var b strings.Builder
	printOutcomes(&b, []outcome{{"kill", time.Second, 2 * time.Second}, {"kill", 3 * time.Second, 0}, {"stop", 0, 0}})
	for _, want := range []string{"kill                  2", "stop                  1", "all                   3"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if verdict.Quantile([]time.Duration{time.Second}, 1) != time.Second {
		t.Error("quantile")
	}
}
