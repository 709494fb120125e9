package server_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/perf/budget"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// These benchmarks measure the costs of an instance for a message of 256 bytes, alone and with a
// peer, over real connections and disks, with clients that cost almost nothing.

// batch is the number of messages that clients send at once.
const batch = 1000

var instances = []struct {
	name  string
	start func(*testing.B) *servertest.Instance
}{
	{"alone", func(b *testing.B) *servertest.Instance { return servertest.New(b, servertest.Real()) }},
	{"pair", func(b *testing.B) *servertest.Instance { return servertest.NewPair(b, servertest.Real()).A }},
}

func benchCaller(b *testing.B, i *servertest.Instance, name string) *budget.StubClient {
	b.Helper()
	var nc net.Conn
	nc, err := i.Dial(b.Context(), "tcp", i.Addr())
	if err != nil {
		b.Fatal(err)
	}
	return budget.NewStubClient(b, nc, name)
}

// BenchmarkPublish measures the way from the connection to the persisted ack: admitted, journaled,
// and durable, with a peer on both disks.
func BenchmarkPublish(b *testing.B) {
	for _, in := range instances {
		b.Run(in.name, func(b *testing.B) {
			p, body := benchCaller(b, in.start(b), "publisher"), make([]byte, 256)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				p.Publish(min(batch, b.N-n), "orders", body)
			}
			p.AwaitPersisted()
		})
	}
}

// BenchmarkPublishOneAtATime waits for the persisted ack of each message.
func BenchmarkPublishOneAtATime(b *testing.B) {
	for _, in := range instances {
		b.Run(in.name, func(b *testing.B) {
			p, body := benchCaller(b, in.start(b), "publisher"), make([]byte, 256)
			b.ReportAllocs()
			for b.Loop() {
				p.Publish(1, "orders", body)
				p.AwaitPersisted()
			}
		})
	}
}

// BenchmarkDeliver measures publish and delivery to a number of live subscribers, each with its own
// connection. A message counts once.
func BenchmarkDeliver(b *testing.B) {
	for _, subscribers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			i := servertest.New(b, servertest.Real())
			p, body := benchCaller(b, i, "publisher"), make([]byte, 256)
			received, all := make(chan struct{}), make([]*budget.StubClient, subscribers)
			for n := range all {
				all[n] = benchCaller(b, i, fmt.Sprint("subscriber ", n))
				all[n].Subscribe("orders", "vector")
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			for _, s := range all {
				go func() {
					defer func() { received <- struct{}{} }()
					s.Receive(b.N)
				}()
			}
			for n := 0; n < b.N; n += batch {
				p.Publish(min(batch, b.N-n), "orders", body)
			}
			p.AwaitPersisted()
			for range all {
				<-received
			}
		})
	}
}

// BenchmarkReplay measures delivery from the start of the log.
func BenchmarkReplay(b *testing.B) {
	i := servertest.New(b, servertest.Real())
	p, body := benchCaller(b, i, "publisher"), make([]byte, 256)
	const kept = 200 * batch
	for range kept / batch {
		p.Publish(batch, "orders", body)
	}
	p.AwaitPersisted()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += kept {
		s := benchCaller(b, i, "subscriber")
		s.Subscribe("orders", "vector")
		s.Receive(min(kept, b.N-n))
		s.Close()
	}
}
