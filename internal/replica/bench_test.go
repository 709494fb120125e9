package replica

import (
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// BenchmarkLink measures records over a loopback link until they are safe. It uses no disks.
func BenchmarkLink(b *testing.B) {
	start := func(name string, ln net.Listener, dests []Destination, safe func()) (*journal.Journal, *Links) {
		var links atomic.Pointer[Links]
		j, err := journal.Open(journal.Options{
			FS: memfs.New(), Dir: "j",
			OnAppend: func(p, s uint64) {
				if l := links.Load(); l != nil {
					l.Appended(p, s)
				}
			},
			OnDurable: func(moved []journal.Advance, idle bool) {
				if l := links.Load(); l != nil {
					l.Durable(moved, idle)
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		l, err := Start(Options{
			Name: name, Group: "g", Journal: j, Listener: ln, Destinations: dests, HoldBytes: 1 << 40,
			OnWatermark: func([]uint64) { safe() },
		})
		if err != nil {
			b.Fatal(err)
		}
		links.Store(l)
		b.Cleanup(func() { l.Close(); j.Close() })
		return j, l
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	start("b", ln, nil, func() {})
	moved := make(chan struct{}, 1)
	j, l := start("a", nil, []Destination{{Name: "b", Address: ln.Addr().String(), Sync: true}}, func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	<-l.Ready()
	r := message(1, 1, "orders")
	r.Body = make([]byte, 200)
	b.SetBytes(200)
	b.ReportAllocs()
	b.ResetTimer()
	for s := uint64(1); s <= uint64(b.N); s++ {
		r.Sequence, r.Prev = s, s-1
		if _, err := j.Append(r); err != nil {
			b.Fatal(err)
		}
	}
	for l.Safe(1) < uint64(b.N) {
		<-moved
	}
}

// BenchmarkBatch measures the cost of one record in a frame of many, 256 bytes each: on the way
// out, and on the way in up to the journal.
func BenchmarkBatch(b *testing.B) {
	r := message(1, 1, "orders")
	r.Body = make([]byte, 256)
	raw, err := record.Append(nil, r)
	if err != nil {
		b.Fatal(err)
	}
	for _, records := range []int{1, 1000} {
		enc := newEncoder()
		encode := func() []byte {
			enc.begin(frameRecords)
			for range records {
				enc.record(raw)
			}
			return enc.finish()
		}
		b.Run(fmt.Sprintf("encode/records=%d", records), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for n := 0; n < b.N; n += records {
				encode()
			}
		})
		b.Run(fmt.Sprintf("decode/records=%d", records), func(b *testing.B) {
			payload, dec := encode()[frameHeader:], newDecoder()
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for n := 0; n < b.N; n += records {
				if dec.begin(payload) != frameRecords {
					b.Fatal("another frame")
				}
				for rest := dec.rest(); len(rest) > 0; {
					raw, remaining, _ := record.CutFramed(rest)
					if _, ok := record.AsOrdinary(raw); !ok {
						b.Fatal("not ordinary")
					}
					rest = remaining
				}
			}
		})
	}
}
