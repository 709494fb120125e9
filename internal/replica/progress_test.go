package replica

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func bm(publisher, sequence uint64) bookmark.Bookmark {
	return bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
}

func TestProgress(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		do   func(p *Progress)
		now  time.Duration
		want time.Duration
	}{
		{"nothing waits", func(p *Progress) {}, 9 * s, 0},
		{"from the time of the append", func(p *Progress) { p.Appended(2*s, bm(1, 1)) }, 9 * s, 7 * s},
		{"acknowledged", func(p *Progress) {
			p.Appended(2*s, bm(1, 1))
			p.Acked(bm(1, 1))
		}, 9 * s, 0},
		{"the oldest acknowledged", func(p *Progress) {
			p.Appended(2*s, bm(1, 1))
			p.Appended(3*s, bm(1, 2))
			p.Acked(bm(1, 1))
		}, 9 * s, 6 * s},
		{"another publisher's is not", func(p *Progress) {
			p.Appended(2*s, bm(1, 1))
			p.Appended(2*s, bm(2, 1))
			p.Acked(bm(1, 1))
		}, 9 * s, 7 * s},
		{"the journal at the start counts from the end of rejoining", func(p *Progress) {
			p.Begin(10*s, bookmark.Vector{1: 5})
		}, 13 * s, 3 * s},
		{"and not before", func(p *Progress) { p.Begin(10*s, bookmark.Vector{1: 5}) }, 9 * s, 0},
		{"rejoining that took longer", func(p *Progress) {
			p.Begin(10*s, bookmark.Vector{1: 5})
			p.BeginLater(12 * s)
		}, 13 * s, 1 * s},
		{"rejoining that took less", func(p *Progress) {
			p.Begin(10*s, bookmark.Vector{1: 5})
			p.BeginLater(1 * s)
		}, 13 * s, 3 * s},
		{"new ones beside the journal at the start", func(p *Progress) {
			p.Begin(10*s, bookmark.Vector{1: 5})
			p.Appended(1*s, bm(1, 6))
		}, 9 * s, 8 * s},
		{"an acknowledged record doesn't wait again", func(p *Progress) {
			p.Acked(bm(1, 5))
			p.Appended(2*s, bm(1, 4)) // reported late
		}, 9 * s, 0},
		{"unless it is awaited again, from then on", func(p *Progress) {
			p.Acked(bm(1, 5))
			p.Awaited(2*s, bm(1, 4))
		}, 9 * s, 7 * s},
		{"awaited again, and acknowledged by the new connection", func(p *Progress) {
			p.Acked(bm(1, 5))
			p.Awaited(2*s, bm(1, 4))
			p.Acked(bm(1, 5))
		}, 9 * s, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := NewProgress(10 * time.Millisecond)
			tt.do(p)
			if got := oldestWait(p, tt.now); got != tt.want {
				t.Errorf("oldest wait %v, want %v", got, tt.want)
			}
		})
	}
}

// Memory is bounded however much waits. No wait ever seems shorter than it is, and times are exact
// to width as long as they are exact at all.
func TestProgressAgainstTwin(t *testing.T) {
	const width = 10 * time.Millisecond
	type item struct {
		at time.Duration
		b  bookmark.Bookmark
	}
	rapid.Check(t, func(t *rapid.T) {
		p := NewProgress(width)
		var items []item
		written, acked := map[uint64]uint64{}, map[uint64]uint64{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 30).Draw(t, "ms")) * time.Millisecond
			pub := rapid.Uint64Range(1, 3).Draw(t, "publisher")
			if rapid.IntRange(0, 4).Draw(t, "event") > 0 {
				written[pub]++
				items = append(items, item{now, bm(pub, written[pub])})
				p.Appended(now, bm(pub, written[pub]))
			} else if written[pub] > acked[pub] {
				acked[pub] = rapid.Uint64Range(acked[pub]+1, written[pub]).Draw(t, "acked")
				p.Acked(bm(pub, acked[pub]))
			}
			var want time.Duration
			for _, i := range items {
				if i.b.Sequence > acked[i.b.Publisher] {
					want = now - i.at
					break
				}
			}
			got := oldestWait(p, now)
			if got < want {
				t.Fatalf("oldest wait %v is less than the true %v", got, want)
			}
			if p.written.width == width && got >= want+width {
				t.Fatalf("oldest wait %v, true %v: off by more than %v", got, want, width)
			}
			if (want == 0) != (got == 0) && len(p.written.list) == 0 {
				t.Fatalf("oldest wait %v, true %v", got, want)
			}
			if len(p.written.list) > maxBuckets {
				t.Fatalf("%d buckets", len(p.written.list))
			}
		}
		for pub, s := range written {
			p.Acked(bm(pub, s))
		}
		if _, waits := p.Oldest(); waits || p.anyWaits() {
			t.Fatal("something waits although everything is acknowledged")
		}
	})
}

// Memory is bounded however long something waits, and the wait never seems shorter than it is.
func TestProgressIsBounded(t *testing.T) {
	p := NewProgress(10 * time.Millisecond)
	for i := range uint64(10000) {
		p.Appended(time.Duration(i)*time.Second, bm(i%5, i/5+1))
		if len(p.written.list) > maxBuckets {
			t.Fatalf("%d buckets", len(p.written.list))
		}
	}
	now := 10000 * time.Second
	if got := oldestWait(p, now); got != now {
		t.Errorf("oldest wait %v, want %v", got, now)
	}
	for pub := range uint64(5) {
		p.Acked(bm(pub, 1000))
	}
	if got, want := oldestWait(p, now), 5000*time.Second; got < want || got > want+p.written.width {
		t.Errorf("oldest wait %v, want %v to %v later", got, want, p.written.width)
	}
	waiting := p.Waiting()
	for pub := range uint64(5) {
		if waiting[pub] != 2000 {
			t.Errorf("publisher %d waits for %d, want 2000", pub, waiting[pub])
		}
		p.Acked(bm(pub, 2000))
	}
	if p.anyWaits() || p.written.width != 10*time.Millisecond {
		t.Error("something waits, or the width is not reset")
	}
}

// oldestWait returns the length of the oldest wait.
func oldestWait(p *Progress, now time.Duration) time.Duration {
	l := Links{}
	return l.oldestWaitLocked(&peer{progress: p}, now)
}
