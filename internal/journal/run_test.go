package journal

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// openStepped opens a journal without a syncer.
func openStepped(t *rapid.T) *Journal {
	j, err := Open(Options{
		FS: memfs.New(), Dir: "j", SegmentBytes: 4 << 10, Stepped: true,
		Now:     func() time.Time { return time.Unix(1, 0) },
		Carried: func(topic []byte) bool { return topic[0] != 'n' },
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// anyMessages returns the bytes of messages of one publisher, mostly consecutive ones, from
// about the number from on.
func anyMessages(t *rapid.T, publisher, from uint64) (all []record.OrdinaryMessage) {
	sequence := max(3, from+uint64(rapid.IntRange(0, 4).Draw(t, "begins"))) - 2
	for range rapid.IntRange(1, 40).Draw(t, "messages") {
		r := &Record{
			Kind: Message, Publisher: publisher, Sequence: sequence, Prev: sequence - 1,
			Topic: []byte(rapid.SampledFrom([]string{"a", "a", "b", "not carried"}).Draw(t, "topic")),
			Body:  bytes.Repeat([]byte("x"), rapid.IntRange(0, 300).Draw(t, "size")),
		}
		if rapid.IntRange(0, 9).Draw(t, "key") == 0 {
			r.SOWKey = []byte("key")
		}
		raw, err := record.Append(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		o, ordinary := record.AsOrdinary(raw)
		if !ordinary {
			t.Fatalf("%+v is not ordinary", r)
		}
		all = append(all, o)
		if sequence++; rapid.IntRange(0, 30).Draw(t, "hole") == 0 {
			sequence++
		}
	}
	return all
}

// appendEach appends messages one by one until one is not accepted. It returns the number of
// accepted ones.
func appendEach(t *rapid.T, b *AppendBatch, check bookmark.Check, user []byte, messages []record.OrdinaryMessage) (accepted int) {
	for _, o := range messages {
		var r Record
		if err := record.Parse(o, &r); err != nil {
			t.Fatal(err)
		}
		if r.Check = check; len(user) > 0 {
			r.User, r.Raw = user, nil
		}
		v, err := b.Append(&r)
		if err != nil {
			t.Fatal(err)
		}
		if v != Accepted {
			break
		}
		accepted++
	}
	return accepted
}

// AppendRun gives the same journal as Append with the messages one by one. It ends at the first
// message that is not accepted.
func TestAppendRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := openStepped(t), openStepped(t)
		defer one.Kill()
		defer other.Kill()
		a, b := one.NewAppendBatch(), other.NewAppendBatch()
		for range rapid.IntRange(1, 12).Draw(t, "runs") {
			publisher := uint64(rapid.IntRange(1, 3).Draw(t, "publisher"))
			check := bookmark.Check{byte(publisher)}
			if rapid.IntRange(0, 9).Draw(t, "another") == 0 {
				check = bookmark.Check{99}
			}
			state, _ := one.State(publisher)
			messages := anyMessages(t, publisher, state.Have+1)
			user := []byte(rapid.SampledFrom([]string{"", "u", "another"}).Draw(t, "user"))
			end := one.End()
			got, err := a.AppendRun(check, user, messages)
			if err != nil {
				t.Fatal(err)
			}
			if got.Records > 0 && (got.From != ledger.Position(end) || got.To != ledger.Position(one.End())) {
				t.Fatalf("%+v, but the journal grew from %d to %d", got, end, one.End())
			}
			accepted := got.Records + appendEach(t, a, check, user, messages[got.Records:])
			if want := appendEach(t, b, check, user, messages); accepted != want {
				t.Fatalf("%d messages were accepted as a run, %d one by one", accepted, want)
			}
			if state.Have > 0 && got.Records < accepted && check[0] == byte(publisher) {
				t.Fatalf("a run of %d messages ended after %d, but %d can be accepted", len(messages), got.Records, accepted)
			}
			if rapid.Bool().Draw(t, "sync") {
				for _, j := range []*Journal{one, other} {
					if err := j.Sync(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		wantSameJournals(t, one, other)
	})
}

// wantSameJournals compares the records and the tables of two journals.
func wantSameJournals(t *rapid.T, one, other *Journal) {
	if !bytes.Equal(one.table.Head(), other.table.Head()) || one.End() != other.End() {
		t.Fatalf("the tables differ:\n%+v\n%+v", one.States(), other.States())
	}
	for id, p := range one.table.byID {
		if o := other.table.byID[id]; !slices.Equal(p.ring.sums, o.ring.sums) || p.dirty != o.dirty {
			t.Fatalf("publisher %d: %+v and %+v", id, p, o)
		}
	}
	if a, b := fmt.Sprint(one.table.summary()), fmt.Sprint(other.table.summary()); a != b {
		t.Fatalf("the summaries differ:\n%s\n%s", a, b)
	}
	a, b := one.Follow(0, Appended), other.Follow(0, Appended)
	defer a.Close()
	defer b.Close()
	for {
		var r, s Record
		more, err := a.Next(&r)
		if otherMore, err2 := b.Next(&s); more != otherMore || err != nil || err2 != nil {
			t.Fatal(more, otherMore, err, err2)
		}
		if !more {
			return
		}
		if !bytes.Equal(r.Raw, s.Raw) || r.Position != s.Position || r.Time != s.Time {
			t.Fatalf("%+v\n%+v", r, s)
		}
	}
}

// PeekRun and Skip give the same records as Next.
func TestPeekRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := openStepped(t)
		defer j.Kill()
		b := j.NewAppendBatch()
		want := map[uint64]uint64{}
		for range rapid.IntRange(1, 10).Draw(t, "runs") {
			publisher := uint64(rapid.IntRange(1, 2).Draw(t, "publisher"))
			for range rapid.IntRange(1, 30).Draw(t, "records") {
				r := &Record{Kind: Message, Publisher: publisher, Topic: []byte("a")}
				if rapid.IntRange(0, 5).Draw(t, "refused") == 0 {
					r.Kind, r.Reason = Tombstone, []byte("no")
				}
				if _, err := b.Append(r); err != nil {
					t.Fatal(err)
				}
				want[publisher] = r.Sequence
			}
			if rapid.Bool().Draw(t, "sync") {
				if err := j.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		f := j.Follow(0, rapid.SampledFrom([]Limit{Durable, Appended}).Draw(t, "limit"))
		defer f.Close()
		got := map[uint64]uint64{}
		for {
			var r Record
			more, err := f.Next(&r)
			if err != nil {
				t.Fatal(err)
			}
			if !more {
				break
			}
			if got[r.Publisher]+1 != r.Sequence {
				t.Fatalf("%d|%d follows %d", r.Publisher, r.Sequence, got[r.Publisher])
			}
			got[r.Publisher] = r.Sequence
			run := f.PeekRun(r.Publisher, r.Sequence+1)
			n := rapid.IntRange(0, len(run)).Draw(t, "skip")
			for i, o := range run {
				if o.Publisher() != r.Publisher || o.Sequence() != r.Sequence+1+uint64(i) {
					t.Fatalf("PeekRun returns %d|%d after %d|%d", o.Publisher(), o.Sequence(), r.Publisher, r.Sequence)
				}
			}
			f.Skip(n)
			got[r.Publisher] += uint64(n)
		}
		if f.limit == Durable {
			for p := range want {
				s, _ := j.State(p)
				want[p] = s.Durable
			}
			maps.DeleteFunc(want, func(_, n uint64) bool { return n == 0 })
		}
		if !maps.Equal(got, want) {
			t.Fatalf("read %v, want %v", got, want)
		}
	})
}
