package clientcore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

func gaps(t *testing.T, list string) []wire.Gap {
	t.Helper()
	g, err := wire.ParseGaps(text(list))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// refuse answers a subscribe with a gap.
func refuse(t *testing.T, s *Subscription, by *Server, id, gap string) Effect {
	t.Helper()
	return answer(t, s, by, id, wire.Message{Status: text(wire.StatusFailure), Reason: text(wire.ReasonBookmarkNotFound), Gap: text(gap)})
}

// subscriptionAt returns a subscription that has received everything up to a vector.
func subscriptionAt(t *testing.T, v bookmark.Vector, change ...func(*Request)) *Subscription {
	t.Helper()
	s := subscription(t, append(change, func(r *Request) { r.Resumes, r.RecoveryTimeout = true, time.Minute })...)
	if err := s.Place().SetBase(v); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask starts a side session.
func ask(t *testing.T, s *Subscription, to *Server, id string, now time.Time) wire.SubscribeCommand {
	t.Helper()
	if !s.ShouldAsk(to, now) {
		t.Fatalf("%s is not asked", to.Instance)
	}
	return s.Ask(to, id, s.Received(), now)
}

// conclude tries to conclude the search, and applies the effect to the store.
func conclude(t *testing.T, s *Subscription, reports ServerReports, servers int, now time.Time) (e Effect, done bool) {
	t.Helper()
	e, done = s.ConcludeSearch(s.Received(), reports, servers, now)
	if err := s.Apply(&e); err != nil {
		t.Fatal(err)
	}
	return e, done
}

func server(name string, peers ...string) *Server {
	return &Server{Address: name, Instance: name, Peers: peers}
}

// The missing messages come from the peer. The search takes no other message of the peer.
func TestSearch(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	s := subscriptionAt(t, bookmark.Vector{7: 10, 9: 5})
	attach(t, s, a, "1")
	if e := refuse(t, s, a, "1", "7|11|20"); !e.OffWire || e.Answered || e.Gap || e.End != nil || !s.Searching() || s.Detached() {
		t.Fatalf("%+v", e)
	}
	if _, done := conclude(t, s, ServerReports{"a": *a}, 2, epoch); done {
		t.Fatal("concluded before b was asked")
	}
	if s.ShouldAsk(a, epoch) || s.ShouldAsk(server("c"), epoch) {
		t.Error("an instance is asked that is not a peer")
	}
	cmd := ask(t, s, b, "2", epoch)
	if cmd.Bookmark != "7|10|,9|9223372036854775807|" || cmd.Options != "vector,bookmark_not_found=epoch" || cmd.Acks&wire.AckCompleted == 0 {
		t.Errorf("%+v", cmd)
	}
	answer(t, s, b, "2", wire.Message{Bookmark: text(cmd.Bookmark)})
	for _, m := range []bookmark.Bookmark{{Publisher: 7, Sequence: 11}, {Publisher: 7, Sequence: 15}} {
		if v, queued := arrive(s, "2", true, m.Publisher, m.Sequence); v != VerdictTake || !queued {
			t.Errorf("%v: %v, %v", m, v, queued)
		}
	}
	for _, m := range []bookmark.Bookmark{{Publisher: 9, Sequence: 6}, {Publisher: 8, Sequence: 1}} {
		if v, queued := arrive(s, "2", true, m.Publisher, m.Sequence); v != VerdictIgnore || queued {
			t.Errorf("%v: %v, %v", m, v, queued)
		}
	}
	if s.SideDone() {
		t.Error("the side session is done too early")
	}
	e, err := s.HandleMark(b, "2", &wire.Message{Bookmark: text("7|25|,8|3|,9|7|")})
	if err != nil || len(e.Progress) != 1 || e.Progress[7] != 25 || !s.SideDone() {
		t.Errorf("%+v, %v", e, err)
	}
	if err := s.Apply(&e); err != nil {
		t.Fatal(err)
	}
	s.SideEnded(epoch)
	if e, done := conclude(t, s, ServerReports{}, 2, epoch); !done || e.Gap || e.End != nil || !s.Detached() {
		t.Errorf("%+v", e)
	}
	if cmd := attach(t, s, a, "3"); cmd.Bookmark != "7|25|,9|5|" || cmd.Options != "vector" {
		t.Errorf("%+v", cmd)
	}
}

// A gap has only the messages that all servers lack. If a server lacks some messages of a
// publisher, the search reads nothing of that publisher there, because another server may have
// all of them.
func TestSearchIntersects(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		a, b, c := server("a", "b", "c"), server("b", "a", "c"), server("c", "a", "b")
		s := subscriptionAt(t, bookmark.Vector{7: 10}, func(r *Request) { r.AcceptGaps = accepts })
		attach(t, s, a, "1")
		refuse(t, s, a, "1", "7|11|20,8|1|5")
		conclude(t, s, nil, 3, epoch)
		ask(t, s, b, "2", epoch)
		answer(t, s, b, "2", wire.Message{Gap: text("7|11|15")})
		if v, _ := arrive(s, "2", true, 7, 16); v != VerdictIgnore {
			t.Error("a message after a gap of b is taken")
		}
		arrive(s, "2", true, 8, 5)
		s.SideEnded(epoch)
		ask(t, s, c, "3", epoch)
		answer(t, s, c, "3", wire.Message{Gap: text("7|11|12")})
		s.SideEnded(epoch)
		e, done := conclude(t, s, ServerReports{"a": *a, "b": *b, "c": *c, "d": *server("d")}, 4, epoch)
		if !done || !slices.Equal(e.Gaps, gaps(t, "7|11|12")) || !slices.Equal(e.NotAsked, []string{"d"}) || accepts != (e.End == nil) || accepts != (e.Progress[7] == 12) {
			t.Errorf("accepts %v: %+v", accepts, e)
		}
		if !accepts && !errors.Is(e.End, ErrMissed) || accepts != s.Detached() {
			t.Errorf("ended with %v", e.End)
		}
	}
}

// Messages that were discarded out of order are not missing. If no others are missing, the place
// is raised.
func TestSearchSkipsDiscardedMessages(t *testing.T) {
	store := bookmarkstore.NewMemory()
	place, err := store.OpenSubscription("s", bookmarkstore.Query{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); n <= 6; n++ {
		b := bookmark.Bookmark{Publisher: 7, Sequence: n}
		place.Receive(b)
		if n != 1 && n != 4 {
			place.Discard(b)
		}
	}
	place.Release()
	s := &Subscription{Request: Request{ID: "s", Topic: "orders", Start: bookmark.EpochText, Resumes: true}}
	if err := s.Open(store); err != nil {
		t.Fatal(err)
	}
	lone := server("a")
	attach(t, s, lone, "1")
	if e := refuse(t, s, lone, "1", "7|1|6"); !slices.Equal(e.Gaps, gaps(t, "7|1|1,7|4|4")) || e.End == nil {
		t.Errorf("%+v", e)
	}
	s.End()
	for _, n := range []uint64{1, 4} {
		b := bookmark.Bookmark{Publisher: 7, Sequence: n}
		s.Place().Receive(b)
		if n == 4 {
			s.Place().Discard(b)
		}
	}
	s.Place().Release()
	s = &Subscription{Request: s.Request}
	if err := s.Open(store); err != nil {
		t.Fatal(err)
	}
	attach(t, s, lone, "2")
	s.Place().Receive(bookmark.Bookmark{Publisher: 7, Sequence: 1})
	if e := refuse(t, s, lone, "2", "7|2|6"); e.Gap || e.End != nil || e.Progress[7] != 6 || !s.Detached() {
		t.Errorf("%+v", e)
	}
}

// The search waits for an instance that is away until no messages have come for a time. Then it
// reports the instance as not asked.
func TestSearchWaits(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	begin := func() *Subscription {
		s := subscriptionAt(t, bookmark.Vector{7: 10})
		attach(t, s, a, "1")
		refuse(t, s, a, "1", "7|11|20")
		if _, done := conclude(t, s, ServerReports{"a": *a}, 2, epoch); done {
			t.Fatal("concluded at once")
		}
		return s
	}
	s := begin()
	ask(t, s, b, "2", epoch)
	s.SideEnded(epoch) // the connection is lost
	if s.ShouldAsk(b, epoch.Add(askInterval-1)) || !s.ShouldAsk(b, epoch.Add(askInterval)) {
		t.Error("the same server is asked too early, or never again")
	}
	if b := *b; b.CatchingUp || !s.ShouldAsk(&b, epoch.Add(askInterval)) {
		t.Error("b is not asked")
	} else if b.CatchingUp = true; s.ShouldAsk(&b, epoch.Add(askInterval)) {
		t.Error("a server that has not caught up is asked")
	}
	late := epoch.Add(50 * time.Second)
	ask(t, s, b, "3", late)
	arrive(s, "3", true, 7, 11)
	s.SideEnded(late)
	if !s.ShouldAsk(b, late) {
		t.Error("b is not asked again at once although a message came")
	}
	if _, done := conclude(t, s, ServerReports{"a": *a, "b": *b}, 2, late.Add(time.Minute-1)); done {
		t.Error("concluded too early")
	}
	e, done := conclude(t, s, ServerReports{"a": *a, "b": *b}, 2, late.Add(time.Minute))
	if !done || !slices.Equal(e.Gaps, gaps(t, "7|12|20")) || !slices.Equal(e.NotAsked, []string{"b"}) {
		t.Errorf("%+v", e)
	}
	// All servers have named their instance, and none is the peer.
	s = begin()
	if e, done := conclude(t, s, ServerReports{"a": *a, "x": *server("x")}, 2, epoch); !done || !slices.Equal(e.NotAsked, []string{"b", "x"}) {
		t.Errorf("%+v", e)
	}
}

// A peer that completes its replay without some messages does not have them.
func TestSearchAtAPeerThatLacksSome(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	s := subscriptionAt(t, bookmark.Vector{7: 10})
	attach(t, s, a, "1")
	refuse(t, s, a, "1", "7|11|20")
	ask(t, s, b, "2", epoch)
	arrive(s, "2", true, 7, 15)
	s.HandleCompleted("2")
	if !s.SideDone() {
		t.Fatal("the side session is not done")
	}
	s.SideEnded(epoch)
	if e, done := conclude(t, s, nil, 2, epoch); !done || !slices.Equal(e.Gaps, gaps(t, "7|16|20")) {
		t.Errorf("%+v", e)
	}
}

// A queue that overruns during a search ends the search. The next subscribe starts another one.
func TestSearchOverruns(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	s := subscriptionAt(t, bookmark.Vector{7: 10})
	attach(t, s, a, "1")
	refuse(t, s, a, "1", "7|11|20")
	ask(t, s, b, "2", epoch)
	arrive(s, "2", true, 7, 11)
	if v, _ := arrive(s, "2", false, 7, 12); v != VerdictPause || !s.Paused() || !s.SideDone() {
		t.Error("the subscription is not paused")
	}
	s.SideEnded(epoch)
	if _, done := conclude(t, s, nil, 2, epoch); !done || s.Detached() {
		t.Error("the search continues")
	}
	if !s.QueueEmptied() || attach(t, s, a, "3").Bookmark != "7|11|" {
		t.Error("the subscription does not continue after its received vector")
	}
}

// A first subscribe that starts after a list of bookmarks has that list as its base.
func TestSearchAfterBookmarks(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	s := subscription(t, func(r *Request) { r.Start = "7|10|,9|3|" })
	attach(t, s, a, "1")
	if e := refuse(t, s, a, "1", "7|11|20"); e.Base[7] != 10 || e.Base[9] != 3 {
		t.Errorf("%+v", e)
	}
	if cmd := ask(t, s, b, "2", epoch); cmd.Bookmark != "7|10|,9|9223372036854775807|" {
		t.Errorf("%+v", cmd)
	}
}

// A subscription that has received nothing resumes and gets a gap. A side session names a
// publisher that is at sequence 0.
func TestSearchFromNothing(t *testing.T) {
	a, b := server("a", "b"), server("b", "a")
	s := subscriptionAt(t, bookmark.Vector{})
	if cmd := attach(t, s, a, "1"); cmd.Bookmark != bookmark.ResumeText {
		t.Errorf("resumes at %s", cmd.Bookmark)
	}
	if e := refuse(t, s, a, "1", "7|1|3"); !e.OffWire || !s.Searching() {
		t.Fatalf("%+v", e)
	}
	if v, _ := arrive(s, "1", true, 7, 4); v != VerdictIgnore {
		t.Error("a message after the gap is taken")
	}
	if cmd := ask(t, s, b, "2", epoch); cmd.Bookmark != "7|0|" {
		t.Errorf("%+v", cmd)
	}
	for _, accepts := range []bool{false, true} {
		s := subscriptionAt(t, bookmark.Vector{}, func(r *Request) { r.AcceptGaps = accepts })
		attach(t, s, server("a"), "1")
		e := refuse(t, s, server("a"), "1", "7|1|3")
		if !slices.Equal(e.Gaps, gaps(t, "7|1|3")) || accepts != (e.End == nil) || accepts != (e.Progress[7] == 3) {
			t.Errorf("accepts %v: %+v", accepts, e)
		}
	}
}

// If the log still has messages before an accepted gap, the place does not move past the gap.
// The next subscribe accepts it.
func TestSearchWithAGapInTheMiddle(t *testing.T) {
	lone := server("a")
	s := subscriptionAt(t, bookmark.Vector{7: 10}, func(r *Request) { r.AcceptGaps = true })
	attach(t, s, lone, "1")
	if e := refuse(t, s, lone, "1", "7|15|20,8|1|2"); !slices.Equal(e.Gaps, gaps(t, "8|1|2")) || e.Progress[8] != 2 || e.Progress[7] != 0 {
		t.Errorf("%+v", e)
	}
	if cmd := attach(t, s, lone, "2"); cmd.Options != "vector,bookmark_not_found=epoch" {
		t.Errorf("%+v", cmd)
	}
	if e := answer(t, s, lone, "2", wire.Message{Gap: text("7|15|20")}); !slices.Equal(e.Gaps, gaps(t, "7|15|20")) {
		t.Errorf("%+v", e)
	}
}

// A server answers a side session like any logon.
func TestSideSession(t *testing.T) {
	s := NewSideSession("x", "json", "v")
	if cmd := s.Credentials("u", "p"); cmd.ClientName != "" || cmd.Store != "" || !cmd.Ext || cmd.UserID != "u" || cmd.Password != "p" {
		t.Errorf("%+v", cmd)
	}
	retry, ok := &wire.Message{Status: text("retry")}, &wire.Message{Status: text(wire.StatusSuccess), Instance: text("b")}
	refusal := &wire.Message{Status: text(wire.StatusFailure), Reason: text("no")}
	for asked := 1; asked < maxChallenges; asked++ {
		if e, err := s.HandleAck(retry); e.Kind != EventChallenged || err != nil {
			t.Error(e, err)
		}
		s.Credentials("u", "p")
	}
	if _, err := s.HandleAck(retry); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
	if _, err := s.HandleAck(refusal); err == nil {
		t.Error("a refused logon is no error")
	}
	if e, err := s.HandleAck(ok); e.Kind != EventAccepted || err != nil || s.Server().Instance != "b" || s.Server().Address != "x" {
		t.Error(e, err, s.Server())
	}
	if e, err := s.HandleAck(ok); e.Kind != EventNone || err != nil {
		t.Error(e, err)
	}
	if _, err := s.HandleAck(refusal); err == nil {
		t.Error("the end of the session is no error")
	}
}
