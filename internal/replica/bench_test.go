package replica

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/memfs"
)

// BenchmarkLink measures records through a link over loopback until they are
// safe, disks aside.
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
			OnDurable: func(moved []journal.Moved) {
				if l := links.Load(); l != nil {
					l.Durable(moved)
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		l, err := Start(Options{
			Name: name, Group: "g", Journal: j, Listener: ln, Destinations: dests, Hold: 1 << 40,
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
