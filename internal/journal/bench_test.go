package journal_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

const benchBytes = 256 // of a body

// benchOpen opens a journal on the disk of the machine.
func benchOpen(b *testing.B) *journal.Journal {
	return openForTest(b, seglog.OS, func(o *journal.Options) { o.Dir, o.SegmentBytes = filepath.ToSlash(b.TempDir()), 0 })
}

// BenchmarkAppend appends messages of several publishers in turn, until all of them are
// durable.
func BenchmarkAppend(b *testing.B) {
	for _, publishers := range []uint64{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) { benchmarkAppend(b, benchOpen(b), publishers) })
	}
	b.Run("no_disk", func(b *testing.B) {
		benchmarkAppend(b, openForTest(b, memfs.New(), func(o *journal.Options) { o.SegmentBytes = 0 }), 1)
	})
}

func benchmarkAppend(b *testing.B, j *journal.Journal, publishers uint64) {
	r := message(1, 0, strings.Repeat("x", benchBytes))
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		r.Publisher, r.Sequence = n%publishers+1, n/publishers+1
		r.Prev = r.Sequence - 1
		if v, err := j.Append(r); err != nil || v != journal.Accepted {
			b.Fatal(v, err)
		}
	}
	mustSync(b, j)
}

// BenchmarkDuplicate appends records that the journal has already, like a publisher that
// replays the messages in its store.
func BenchmarkDuplicate(b *testing.B) {
	j, body := benchOpen(b), strings.Repeat("x", benchBytes)
	const kept = 1000
	for s := uint64(1); s <= kept; s++ {
		mustAppend(b, j, message(1, s, body), journal.Accepted)
	}
	r := message(1, 1, body)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		r.Sequence = n%kept + 1
		r.Prev = r.Sequence - 1
		if v, err := j.Append(r); err != nil || v != journal.Duplicate {
			b.Fatal(v, err)
		}
	}
}

// BenchmarkFollow reads records that are still in memory, like a live subscription or link. It
// also reads a far longer journal from its files, like a replay.
func BenchmarkFollow(b *testing.B) {
	for _, from := range []struct {
		name    string
		records int
	}{{"memory", 1000}, {"files", 500_000}} {
		b.Run(from.name, func(b *testing.B) {
			j := benchOpen(b)
			r := message(1, 0, strings.Repeat("x", benchBytes))
			for range from.records {
				r.Sequence = 0
				mustAppend(b, j, r, journal.Accepted)
			}
			mustSync(b, j)
			benchmarkFollow(b, j)
		})
	}
}

func benchmarkFollow(b *testing.B, j *journal.Journal) {
	f := j.Follow(j.First(), journal.Durable)
	var r journal.Record
	b.SetBytes(benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		ok, err := f.Next(&r)
		if err != nil {
			b.Fatal(err)
		}
		if !ok { // start again
			f.Close()
			f = j.Follow(j.First(), journal.Durable)
		}
	}
	f.Close()
}

// BenchmarkReplay compares 200,000 messages that a publisher sends again with the records in
// the journal. Each of the other publishers has as many records between them.
func BenchmarkReplay(b *testing.B) {
	const kept = 200_000
	for _, publishers := range []uint64{1, 10} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			j, r := benchOpen(b), message(1, 0, strings.Repeat("x", benchBytes))
			for s := uint64(1); s <= kept; s++ {
				for p := uint64(1); p <= publishers; p++ {
					r.Publisher, r.Sequence, r.Prev, r.Time = p, s, s-1, 0
					mustAppend(b, j, r, journal.Accepted)
				}
			}
			mustSync(b, j)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				batch := j.NewAppendBatch()
				for s := uint64(1); s <= kept; s++ {
					r.Publisher, r.Sequence, r.Prev = 1, s, s-1
					replay(b, batch, r)
					if s%64 == 0 {
						batch.Notify()
					}
				}
				batch.Notify()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/kept, "ns/message")
		})
	}
}

func replay(b *testing.B, batch *journal.AppendBatch, r *journal.Record) {
	v, err := batch.Append(r)
	if v == journal.ContentUnknown && err == nil {
		var st journal.RecordInfo
		if st, err = batch.Lookup(r, true); st.Same {
			v = journal.Duplicate
		}
	}
	if v != journal.Duplicate || err != nil {
		b.Fatal(r.Sequence, v, err)
	}
}
