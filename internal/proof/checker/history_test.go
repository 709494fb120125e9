package checker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

func mark(publisher, sequence uint64) bookmark.Bookmark {
	return bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
}

// good returns a history without fault: p published four messages, of which
// the fourth died with it, q one whose Publish failed and one other. The
// subscriber "again" had two processes.
func good() *checker.History {
	h := &checker.History{
		LetGo: []checker.LetGoEvent{{App: "p", Through: mark(1, 2), Durable: map[string]bookmark.Bookmark{"a": mark(1, 3), "b": mark(1, 2)}}},
	}
	for n, fate := range []checker.Fate{checker.Accepted, checker.Accepted, checker.Accepted, checker.Unknown} {
		m := &checker.Publication{App: "p", Publisher: 1, N: n + 1, Topic: "orders", Body: fmt.Sprintf("p-%d", n+1), Fate: fate, PublishedAt: int64(10 * n)}
		if fate == checker.Accepted {
			m.Sequence = uint64(n + 1)
		}
		h.Published = append(h.Published, m)
	}
	h.Published = append(h.Published,
		&checker.Publication{App: "q", N: 1, Topic: "ticks", Body: "q-1", Fate: checker.Refused, PublishedAt: 1},
		&checker.Publication{App: "q", N: 2, Topic: "ticks", Body: "q-2", Fate: checker.Accepted, Sequence: 1, PublishedAt: 2})
	p := []checker.Record{record(1, 1, "orders", "p-1"), record(1, 2, "orders", "p-2"), record(1, 3, "orders", "p-3"), record(1, 4, "orders", "p-4")}
	q := record(2, 1, "ticks", "q-2")
	h.Journals = []checker.Journal{
		{Instance: "a", Records: []checker.Record{p[0], q, p[1], p[2], p[3]}},
		{Instance: "b", Records: []checker.Record{p[0], p[1], p[2], p[3], q}},
	}
	h.Readers = []*checker.Reader{
		{Name: "all", Processes: [][]*checker.Delivery{hand(p[0], q, p[1], p[2], p[3])}},
		{Name: "orders", Topic: "orders", FullyDurable: true, Processes: [][]*checker.Delivery{hand(p...)}},
		{Name: "now", Topic: "orders", Since: 15, Processes: [][]*checker.Delivery{hand(p[2], p[3])}},
		{Name: "again", Processes: [][]*checker.Delivery{hand(p[0], p[1], q), hand(p[1], q, p[2], p[3])}},
	}
	again := h.Readers[3].Processes[0]
	again[0].State, again[1].State = checker.DiscardDurable, checker.Discarding
	return h
}

func record(publisher, sequence uint64, topic, body string) checker.Record {
	return checker.Record{Bookmark: mark(publisher, sequence), Prev: sequence - 1, Kind: journal.Message, Topic: topic, Body: body}
}

func hand(records ...checker.Record) []*checker.Delivery {
	var handed []*checker.Delivery
	for _, r := range records {
		handed = append(handed, &checker.Delivery{Bookmark: r.Bookmark, Body: r.Body})
	}
	return handed
}

func TestGoodHistory(t *testing.T) {
	for _, v := range good().Check() {
		t.Error(v)
	}
}

// Two good histories may differ in these points.
func TestOtherGoodHistories(t *testing.T) {
	for what, change := range map[string]func(h *checker.History){
		"a message that died with its publisher is nowhere": func(h *checker.History) {
			h.Journals[0].Records = h.Journals[0].Records[:4]
			h.Journals[1].Records = drop(h.Journals[1].Records, 3)
			for _, r := range h.Readers[1:] {
				last := len(r.Processes) - 1
				r.Processes[last] = r.Processes[last][:len(r.Processes[last])-1]
			}
		}, // "all" was handed it before it died
		"a discard that was on its way was on disk": func(h *checker.History) {
			h.Readers[3].Processes[1] = h.Readers[3].Processes[1][1:]
		},
		"a subscription from NOW that began a little earlier": func(h *checker.History) {
			h.Readers[2].Processes[0] = hand(h.Journals[1].Records[1:4]...)
		},
		"a process that was handed nothing": func(h *checker.History) {
			r := h.Readers[3]
			r.Processes = [][]*checker.Delivery{r.Processes[0], nil, r.Processes[1]}
		},
		"what is gone need not be in sequence": func(h *checker.History) {
			for i := range h.Journals {
				gone := checker.Record{Bookmark: mark(9, 1000), Kind: journal.Gone}
				next := record(9, 1001, "orders", "r-1")
				h.Journals[i].Records = append(h.Journals[i].Records, gone, next)
			}
			h.Published = append(h.Published, &checker.Publication{App: "r", N: 1, Topic: "orders", Body: "r-1", Sequence: 1, HasBase: true, Fate: checker.Accepted})
			for _, r := range h.Readers {
				last := len(r.Processes) - 1
				r.Processes[last] = append(r.Processes[last], hand(record(9, 1001, "orders", "r-1"))...)
			}
		},
		"an instance that gives nothing to others has what died": func(h *checker.History) {
			h.Journals[0].Records = h.Journals[0].Records[:4]
			h.Journals[1].OneWay = true
		},
		"retention has removed the beginning": func(h *checker.History) {
			for i := range h.Journals {
				h.Journals[i].Floor = bookmark.Vector{1: 2}
				h.Journals[i].Records = slices.DeleteFunc(h.Journals[i].Records, func(r checker.Record) bool { return r.Body == "p-1" || r.Body == "p-2" })
			}
		},
		"retention has removed the beginning from one": func(h *checker.History) {
			h.Journals[0].Floor = bookmark.Vector{1: 1}
			h.Journals[0].Records = h.Journals[0].Records[1:]
		},
		"a gap that the subscription was told of": func(h *checker.History) {
			h.Readers[1].Gaps = []checker.Gap{{Publisher: 1, From: 1, Through: 2}}
			h.Readers[1].Processes[0] = h.Readers[1].Processes[0][2:]
		},
		"a message that died with its publisher is gone from one": func(h *checker.History) {
			h.Journals[1].Records[3] = checker.Record{Bookmark: mark(1, 4), Kind: journal.Gone}
		},
		"one disk is enough for a plain client": func(h *checker.History) {
			h.LetGo[0].Durable["a"], h.LetGo[0].Single = mark(1, 0), true
		},
	} {
		h := good()
		change(h)
		for _, v := range h.Check() {
			t.Errorf("%s: %s", what, v)
		}
	}
}

func drop(records []checker.Record, i int) []checker.Record {
	return append(append([]checker.Record(nil), records[:i]...), records[i+1:]...)
}

// Each rule rejects a history that breaks it, and says which.
func TestBadHistories(t *testing.T) {
	both := func(h *checker.History, change func(records []checker.Record) []checker.Record) {
		for i := range h.Journals {
			h.Journals[i].Records = change(h.Journals[i].Records)
		}
	}
	for _, tt := range []struct {
		what, want string
		change     func(h *checker.History)
	}{
		{"a message that was taken is nowhere", "G1: a lacks p-3", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record {
				for i := range r {
					if r[i].Body == "p-3" {
						r[i].Kind = journal.Empty
					}
				}
				return r
			})
		}},
		{"a message that was not taken is there", "G1: b has q-1, whose Publish returned an error", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record { return append(r, record(2, 2, "ticks", "q-1")) })
		}},
		{"a message that nobody published", "G1: a has 3|1|, which nobody published", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record { return append(r, record(3, 1, "orders", "x-1")) })
		}},
		{"a message under another topic", "G1: b has p-2 under topic ticks", func(h *checker.History) {
			h.Journals[1].Records[1].Topic = "ticks"
		}},
		{"a message under another number", "G1: a has p-1 as 1|1|: it was accepted as 7", func(h *checker.History) {
			h.Published[0].Sequence = 7
		}},
		{"let go on one disk", "G2: the store of p let go", func(h *checker.History) {
			h.LetGo[0].Durable["b"] = mark(1, 1)
		}},
		{"let go by a plain client on no disk", "G2: the store of p let go", func(h *checker.History) {
			h.LetGo[0] = checker.LetGoEvent{App: "p", Through: mark(1, 2), Single: true, Durable: map[string]bookmark.Bookmark{"a": mark(1, 1), "b": mark(1, 0)}}
		}},
		{"an identity twice", "G3: a has 1|1| twice", func(h *checker.History) {
			h.Journals[0].Records = append(h.Journals[0].Records, h.Journals[0].Records[0])
		}},
		{"a message under two identities", "G3: a has p-1 as 1|1| and as 5|1|", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record { return append(r, record(5, 1, "orders", "p-1")) })
		}},
		{"an identity with two contents", "G3: 1|4| is", func(h *checker.History) {
			h.Published = append(h.Published, &checker.Publication{App: "p", N: 5, Topic: "orders", Body: "p-5"})
			h.Journals[1].Records[3].Body = "p-5"
		}},
		{"an identity with another content at a subscriber", "G3: 1|4| is q-2 at all", func(h *checker.History) {
			h.Readers[0].Processes[0][4].Body = "q-2"
		}},
		{"out of order", "G4: b has 1|2| behind 1|3|", func(h *checker.History) {
			r := h.Journals[1].Records
			r[1], r[2] = r[2], r[1]
		}},
		{"a hole", "G4: b lacks the message before 1|3|", func(h *checker.History) {
			h.Journals[1].Records = drop(h.Journals[1].Records, 1)
		}},
		{"numbers in order, messages not", "G4: a has p-1 behind number 2", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record {
				for i := range r {
					switch r[i].Body {
					case "p-1":
						r[i].Body = "p-2"
					case "p-2":
						r[i].Body = "p-1"
					}
				}
				return r
			})
		}},
		{"one has more", "G5: a has 1|4| but b does not", func(h *checker.History) {
			h.Journals[1].Records = drop(h.Journals[1].Records, 3)
		}},
		{"a message that differs in what is beside its body", "G5: 1|2| is not the same on b", func(h *checker.History) {
			h.Journals[1].Records[1].Sum = 7
		}},
		{"the other has more", "G5: b has 1|4| but a does not", func(h *checker.History) {
			h.Journals[0].Records = h.Journals[0].Records[:4]
		}},
		{"an instance that gives nothing to others has what was taken", "G5: b has 1|3| but a does not", func(h *checker.History) {
			h.Journals[0].Records = drop(h.Journals[0].Records, 3)
			h.Journals[1].OneWay = true
		}},
		{"handed twice", "G6: all, process 1 was handed 1|4| twice", func(h *checker.History) {
			h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], h.Readers[0].Processes[0][4])
		}},
		{"handed out of order", "G6: orders, process 1 was handed 1|1| behind 2", func(h *checker.History) {
			l := h.Readers[1].Processes[0]
			l[0], l[1] = l[1], l[0]
		}},
		{"skipped", "G6: orders, process 1 was not handed 1|2|", func(h *checker.History) {
			l := h.Readers[1].Processes
			l[0] = append(l[0][:1:1], l[0][2:]...)
		}},
		{"the last one missing", "G6: orders, process 1, at the end was not handed 1|4|", func(h *checker.History) {
			h.Readers[1].Processes[0] = h.Readers[1].Processes[0][:3]
		}},
		{"a publisher missing", "G6: all, process 1, at the end was not handed 2|1|", func(h *checker.History) {
			l := h.Readers[0].Processes
			l[0] = append(l[0][:1:1], l[0][2:]...)
		}},
		{"from NOW, one behind its beginning missing", "G6: now, process 1, at the end was not handed 1|4|", func(h *checker.History) {
			h.Readers[2].Processes[0] = h.Readers[2].Processes[0][:1]
		}},
		{"from NOW, the first behind its beginning missing", "G6: now, process 1 was not handed 1|3|", func(h *checker.History) {
			h.Readers[2].Processes[0] = h.Readers[2].Processes[0][1:]
		}},
		{"again although discarded", "G6: again, process 2 was handed 1|1| again", func(h *checker.History) {
			l := h.Readers[3].Processes
			l[1] = append(hand(h.Journals[0].Records[0]), l[1]...)
		}},
		{"not again although not discarded", "was not handed 2|1|", func(h *checker.History) {
			l := h.Readers[3].Processes
			l[1] = append(l[1][:1:1], l[1][2:]...)
		}},
		{"retention has removed what it must not", "G1: a lacks p-2", func(h *checker.History) {
			both(h, func(r []checker.Record) []checker.Record {
				return slices.DeleteFunc(r, func(r checker.Record) bool { return r.Body == "p-1" || r.Body == "p-2" })
			})
			h.Journals[0].Floor = bookmark.Vector{1: 1}
		}},
		{"a hole above what retention has removed", "G4: a lacks the message before 1|3|", func(h *checker.History) {
			h.Journals[0].Floor = bookmark.Vector{1: 1}
			h.Journals[0].Records = h.Journals[0].Records[3:]
		}},
		{"handed again behind another", "G6: all, process 1 was handed 1|1| twice", func(h *checker.History) {
			h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], h.Readers[0].Processes[0][0])
		}},
		{"more left out than it was told", "G6: orders, process 1 was not handed 1|3|", func(h *checker.History) {
			h.Readers[1].Gaps = []checker.Gap{{Publisher: 1, From: 1, Through: 2}}
			h.Readers[1].Processes[0] = h.Readers[1].Processes[0][3:]
		}},
		{"another topic", "G6: orders, process 1 was handed 2|1| of topic ticks", func(h *checker.History) {
			h.Readers[1].Processes[0] = append(h.Readers[1].Processes[0], hand(record(2, 1, "ticks", "q-2"))...)
		}},
		{"what nobody published", "which nobody published", func(h *checker.History) {
			h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], hand(record(3, 1, "orders", "x-1"))...)
		}},
		{"fully durable, and lost", "R13: orders, process 1 was handed 1|5|", func(h *checker.History) {
			h.Published = append(h.Published, &checker.Publication{App: "p", N: 5, Topic: "orders", Body: "p-5"})
			h.Readers[1].Processes[0] = append(h.Readers[1].Processes[0], hand(record(1, 5, "orders", "p-5"))...)
		}},
		{"an error out of nowhere", "G7: p: publish: no", func(h *checker.History) {
			h.Errors = append(h.Errors, "p: publish: no")
		}},
	} {
		h := good()
		tt.change(h)
		if found := fmt.Sprint(h.Check()); !strings.Contains(found, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.what, found, tt.want)
		}
	}
}

// identified returns a good history in which all identities are known. There
// are a third message of q that leaves a tombstone, and a fourth that leaves
// nothing to deliver.
func identified() *checker.History {
	h := good()
	h.Published[3].Sequence = 4
	h.Published[5].Publisher = 2
	for n, kind := range []journal.Kind{journal.Tombstone, journal.Empty} {
		body, seq := fmt.Sprintf("q-%d", n+3), uint64(n+2)
		h.Published = append(h.Published, &checker.Publication{
			App: "q", N: n + 3, Topic: "ticks", Body: body, Publisher: 2, Sequence: seq, Fate: checker.Accepted, Kind: kind,
		})
		r := record(2, seq, "ticks", "")
		r.Kind = kind
		for i := range h.Journals {
			h.Journals[i].Records = append(h.Journals[i].Records, r)
		}
	}
	for i := range h.Journals {
		h.Journals[i].Have = bookmark.Vector{1: 4, 2: 3}
	}
	return h
}

// With all identities known the checker finds more.
func TestIdentified(t *testing.T) {
	for _, v := range identified().Check() {
		t.Error(v)
	}
	h := identified()
	h.Published[6].Fate = checker.Unknown
	for i := range h.Journals {
		h.Journals[i].Records[6].Prev = 1
	}
	h.Journals[1].Records = drop(h.Journals[1].Records, 5)
	if found := h.Check(); len(found) > 0 {
		t.Errorf("a refusal that one instance does not know of: %q", found)
	}
	for _, tt := range []struct {
		what, want string
		change     func(h *checker.History)
	}{
		{"a refused message that was taken", "G1: a has 2|2|: it must be a tombstone", func(h *checker.History) {
			r := &h.Journals[0].Records[5]
			r.Kind, r.Body = journal.Message, "q-3"
		}},
		{"a refused message that was handed over", "G6: all, process 1 was handed 2|2|: it must be a tombstone", func(h *checker.History) {
			h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], hand(record(2, 2, "ticks", "q-3"))...)
		}},
		{"a failed Publish that was handed over", "G6: all, process 1 was handed q-1, whose Publish", func(h *checker.History) {
			h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], hand(record(2, 4, "ticks", "q-1"))...)
		}},
		{"a refusal of another kind", "G1: b has 2|2| as empty: it must be a tombstone", func(h *checker.History) {
			h.Journals[1].Records[5].Kind = journal.Empty
		}},
		{"a message of unknown fate that was refused", "G1: b has 1|4| as tombstone: it must be a message", func(h *checker.History) {
			h.Journals[1].Records[3].Kind = journal.Tombstone
		}},
		{"a marker is missing", "G1: a lacks q-4, which was accepted as 3", func(h *checker.History) {
			h.Journals[0].Records = h.Journals[0].Records[:6]
		}},
		{"a marker that only one has", "G5: a has 2|3| but b does not", func(h *checker.History) {
			h.Published[7].Fate = checker.Unknown
			h.Journals[1].Records = h.Journals[1].Records[:6]
		}},
		{"a marker that is another record elsewhere", "G5: 2|3| is not the same on b as on a", func(h *checker.History) {
			r := &h.Journals[1].Records[6]
			r.Kind, r.Body = journal.Message, "q-4"
		}},
		{"of unknown fate, under another number", "G1: b has p-4 as 1|5|: it was accepted as 4", func(h *checker.History) {
			h.Journals[1].Records[3] = record(1, 5, "orders", "p-4")
		}},
		{"of another publisher", "G1: b has q-2 as 3|1|: it was accepted as 1", func(h *checker.History) {
			h.Journals[1].Records[4].Publisher = 3
		}},
		{"a marker behind the last", "G1: a has 2|4| but the last published message is 3", func(h *checker.History) {
			h.Journals[0].Records = append(h.Journals[0].Records, checker.Record{Bookmark: mark(2, 4), Prev: 3, Kind: journal.Empty})
		}},
		{"a gap behind the last", "R9: orders was told of a gap up to 1|5| but the last published message is 4", func(h *checker.History) {
			h.Readers[1].Gaps = []checker.Gap{{Publisher: 1, From: 2, Through: 5}}
		}},
		{"less than it says", "R1: b reports publisher 1 up to 5 but has it up to 4", func(h *checker.History) {
			h.Journals[1].Have[1] = 5
		}},
		{"a hole below what is gone", "G4: a lacks the message before 1|3|: the last one before is 1|1|", func(h *checker.History) {
			h.Journals[0].Floor = bookmark.Vector{1: 4}
			h.Journals[0].Records = drop(h.Journals[0].Records, 2)
		}},
	} {
		h := identified()
		tt.change(h)
		if found := fmt.Sprint(h.Check()); !strings.Contains(found, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.what, found, tt.want)
		}
	}
}

// Violations are counted by their kind.
func TestCount(t *testing.T) {
	h := good()
	h.Errors = []string{"p: publish: no"}
	h.LetGo[0].Durable["b"] = mark(1, 1)
	h.Journals[1].Records = h.Journals[1].Records[:4]                                           // q's message
	h.Readers[0].Processes[0] = append(h.Readers[0].Processes[0], h.Readers[0].Processes[0][0]) // twice
	h.Readers[1].Processes[0][0], h.Readers[1].Processes[0][1] = h.Readers[1].Processes[0][1], h.Readers[1].Processes[0][0]
	want := checker.Tally{checker.Lost: 1, checker.Diverged: 1, checker.Duplicated: 1, checker.Disordered: 1,
		checker.Unsafe: 1, checker.Unexpected: 1}
	if got := checker.Count(h.Check()); got != want {
		t.Errorf("%v of %q, want %v", got, h.Check(), want)
	}
}
