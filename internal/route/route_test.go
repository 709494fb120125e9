package route_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		text string
		want route.Options
	}{
		{"", route.Options{}},
		{"live,", route.Options{}},
		{" none , live ", route.Options{}},
		{"replace,timestamp", route.Options{Replace: true, Timestamp: true}},
		{"vector,bookmark_not_found=epoch", route.Options{Vector: true, NotFound: route.NotFoundEpoch}},
		{"bookmark_not_found=now", route.Options{NotFound: route.NotFoundNow}},
		{"bookmark_not_found=fail,fully_durable", route.Options{NotFound: route.NotFoundFail, FullyDurable: true}},
		{"non_regex_topic,bookmark,no_sowkey,conflation=none", route.Options{Literal: true, Bookmark: true}},
	} {
		if got, err := route.ParseOptions([]byte(tt.text)); err != nil || got != tt.want {
			t.Errorf("%q: %+v, %v", tt.text, got, err)
		}
	}
	for _, text := range []string{"magic", "bookmark_not_found", "bookmark_not_found=x", "Vector", "replace,=", "live live"} {
		if _, err := route.ParseOptions([]byte(text)); !errors.Is(err, route.ErrInvalidOptions) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"rate=1000": "option rate is not offered", "pause": "option pause is not offered", "conflation=250ms,conflation_key=[/a,/b]": "option conflation is not offered",
		"select=[-/,+/id]": "option select is not offered", "live,projection=[SUM(/a, 1) AS /b]": "option projection is not offered",
	} {
		var e *route.UnsupportedError
		if _, err := route.ParseOptions([]byte(text)); !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestGaps(t *testing.T) {
	floors := bookmark.Vector{3: 7, 1: 5, 2: 4}
	got := route.GapText(route.Gaps(floors, bookmark.Vector{1: 5, 2: 3}))
	if want := "2|4|4,3|1|7"; got != want {
		t.Errorf("gaps %s, want %s", got, want)
	}
	if got := route.Gaps(floors, bookmark.Vector{1: 9, 2: 9, 3: 7, 4: 1}); len(got) != 0 {
		t.Errorf("gaps %v in covered ranges", got)
	}
}

func vectorSub(seen bookmark.Vector, notFound route.NotFound) *route.Subscription {
	s := &route.Subscription{Bookmark: true, Options: route.Options{Vector: true, NotFound: notFound}}
	s.Begin(route.Start{Seen: seen})
	return s
}

// A vector subscription gets, from any journal, exactly the messages that its vector does not
// cover. Its marks name exactly the passed numbers of the publishers that had a message for it.
func TestVectorSubscription(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := bookmark.Vector{}
		for p := range uint64(3) {
			if s := rapid.Uint64Range(0, 5).Draw(t, "seen"); s > 0 {
				seen[p+1] = s
			}
		}
		sub, marked := vectorSub(seen.Clone(), 0), seen.Clone()
		leaveOut := func(publisher uint64) bool { return publisher != 2 }
		have, marks := bookmark.Vector{}, seen.Clone() // marks: the sum of all marks
		var got []bookmark.Bookmark
		for n := range rapid.IntRange(0, 40).Draw(t, "records") {
			p := rapid.Uint64Range(1, 3).Draw(t, "publisher")
			have[p]++
			r := ledger.Record{Position: ledger.Position(n * 10), Kind: ledger.Message, Publisher: p, Sequence: have[p]}
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				r.Kind = ledger.Tombstone
			}
			b := bookmark.Bookmark{Publisher: p, Sequence: have[p]}
			matches := r.Kind == ledger.Message && rapid.IntRange(0, 2).Draw(t, "topic") > 0
			want := matches && !seen.Covers(b)
			if matches {
				sub.Matched(&r)
			}
			if want || marks[p] > 0 || !leaveOut(p) {
				marks[p] = max(marks[p], have[p])
			}
			if matches && sub.Wants(&r) != want {
				t.Fatalf("%v of kind %v: wanted %v", b, r.Kind, !want)
			}
			if want {
				got = append(got, b)
			}
			if _, missed := sub.Pass(&r); missed {
				t.Fatalf("a gap at %v", b)
			}
			if matches && sub.Wants(&r) {
				t.Fatalf("%v is wanted twice", b)
			}
			if rapid.Bool().Draw(t, "mark") {
				sub.NamePublishers(leaveOut)
				mark, err := bookmark.ParseVector(sub.AppendMark(nil))
				if err != nil {
					t.Fatal(err)
				}
				marked.Merge(mark)
				for _, g := range got {
					if !marked.Covers(g) {
						t.Fatalf("mark %v leaves out %v", mark, g)
					}
				}
			}
		}
		if sub.Moved() {
			sub.NamePublishers(leaveOut)
			mark, _ := bookmark.ParseVector(sub.AppendMark(nil))
			marked.Merge(mark)
		}
		if marked.String() != marks.String() {
			t.Fatalf("marks add up to %v, want %v", marked, marks)
		}
	})
}

// Messages that another instance removed before they came here are a gap for a subscription.
func TestGoneMarkerIsAGap(t *testing.T) {
	gone := ledger.Record{Kind: ledger.Gone, Publisher: 1, Sequence: 9, Cause: ledger.LetGo}
	if gap, missed := vectorSub(bookmark.Vector{1: 4}, 0).Pass(&gone); !missed || gap != (wire.Gap{Publisher: 1, From: 5, To: 9}) {
		t.Errorf("gap %v, %v", gap, missed)
	}
	for name, sub := range map[string]*route.Subscription{
		"covered":       vectorSub(bookmark.Vector{1: 9}, 0),
		"new publisher": vectorSub(bookmark.Vector{2: 4}, 0),
	} {
		if gap, missed := sub.Pass(&gone); missed {
			t.Errorf("%s: gap %v", name, gap)
		}
	}
	for _, cause := range []ledger.Cause{ledger.Removed, ledger.Lost} {
		marker := ledger.Record{Kind: ledger.Gone, Publisher: 1, Sequence: 9, Prev: 3, Cause: cause}
		if gap, missed := vectorSub(bookmark.Vector{2: 4}, 0).Pass(&marker); !missed || gap != (wire.Gap{Publisher: 1, From: 4, To: 9}) {
			t.Errorf("new publisher, cause %d: gap %v, %v", cause, gap, missed)
		}
	}
	accepts := vectorSub(bookmark.Vector{1: 4}, route.NotFoundEpoch)
	if gap, missed := accepts.Pass(&gone); !missed || gap != (wire.Gap{Publisher: 1, From: 5, To: 9}) || !accepts.AcceptsGaps() {
		t.Errorf("a subscription that accepts gaps: gap %v, %v", gap, missed)
	}
	if accepts.Seen()[1] != 9 {
		t.Errorf("it continues after %d, want 9", accepts.Seen()[1])
	}
}

func TestPlainSubscription(t *testing.T) {
	s := &route.Subscription{Bookmark: true}
	s.Begin(route.Start{After: 15, Target: 40})
	var got []uint64
	for n := range uint64(6) {
		r := ledger.Record{Position: ledger.Position(n * 10), Kind: ledger.Message, Publisher: 1, Sequence: n + 1}
		if s.Reached(r.Position) {
			got = append(got, 0)
		}
		if s.Wants(&r) {
			got = append(got, n+1)
		}
		s.Pass(&r)
	}
	if !slices.Equal(got, []uint64{3, 4, 0, 5, 6}) {
		t.Errorf("got %v", got)
	}
	if mark := string(s.AppendMark(nil)); mark != "1|6|" {
		t.Errorf("mark %s", mark)
	}
	// The subscription goes live while the shared follower is still before it.
	s.BecomeLive(100)
	passed := ledger.Record{Position: 90, Kind: ledger.Message, Publisher: 1, Sequence: 10}
	if s.Wants(&passed) {
		t.Error("a passed message comes again")
	}
}
