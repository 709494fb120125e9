package growth_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
)

const (
	topic   = "orders"
	segment = 64 << 20 // bytes of a journal's segment, the default
)

// scaled returns n, or a hundredth of it in a short run.
func scaled(n int) int {
	if testing.Short() {
		return max(n/100, 1)
	}
	return n
}

// fill opens or makes the journal of an instance and appends messages of size bytes,
// of the publishers in turn.
func fill(b *testing.B, dir string, messages, size, publishers int) {
	b.Helper()
	j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: filepath.ToSlash(dir)})
	if err != nil {
		b.Fatal(err)
	}
	body := make([]byte, size)
	next := make([]uint64, publishers)
	for p := range next {
		known, _ := j.State(uint64(p) + 1)
		next[p] = known.Have
	}
	for n := range messages {
		p := n % publishers
		next[p]++
		r := journal.Record{
			Kind: journal.Message, Publisher: uint64(p) + 1, Sequence: next[p], Prev: next[p] - 1,
			Topic: []byte(topic), Body: body,
		}
		if v, err := j.Append(&r); err != nil || v != journal.Accepted {
			b.Fatal(v, err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// start starts a lone instance on a directory and waits until it serves.
func start(b *testing.B, dir string) *server.Server {
	b.Helper()
	cfg := server.Config{Name: "a", Data: dir}
	cfg.Clients.Listen = "127.0.0.1:0"
	s, err := server.Start(cfg)
	if err != nil {
		b.Fatal(err)
	}
	<-s.Ready()
	return s
}

func stop(b *testing.B, s *server.Server) {
	b.Helper()
	if err := s.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func uri(s *server.Server) []string { return []string{"tcp://" + s.Addr().String() + "/amps/json"} }

func dial(b *testing.B, s *server.Server, cfg client.Config) *client.Client {
	b.Helper()
	cfg.Servers = uri(s)
	c, err := client.Dial(context.Background(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// phases is the number of evenly spaced fill levels or places of a segment at which a
// time is measured that depends on them.
const phases = 8

// BenchmarkOpen measures the time from the start of an instance until it serves, by the
// size of its journal: the mean and the slowest start, since the time also depends on
// how full the last segment is (B9).
func BenchmarkOpen(b *testing.B) {
	const size = 1000
	for _, gigabytes := range []int{1, 10} {
		b.Run(fmt.Sprintf("journal=%dGB", gigabytes), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "data")
			fill(b, dir, scaled(gigabytes*1_000_000), size, 100)
			var opens []time.Duration
			for b.Loop() {
				for range phases {
					fill(b, dir, scaled(segment/phases/size), size, 100)
					begun := time.Now()
					s := start(b, dir)
					opens = append(opens, time.Since(begun))
					stop(b, s)
				}
			}
			report(b, opens, "open")
		})
	}
}

// report reports mean and maximum.
func report(b *testing.B, all []time.Duration, unit string) {
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	b.ReportMetric(float64(sum.Microseconds())/1000/float64(len(all)), "ms/"+unit)
	b.ReportMetric(float64(slices.Max(all).Microseconds())/1000, "ms/slowest")
	b.ReportMetric(0, "ns/op") // the loop also contains other work
}

// BenchmarkResume measures the time from a subscribe that resumes by vector in the
// middle of the journal to its first message: the mean and the slowest one (B9).
func BenchmarkResume(b *testing.B) {
	const publishers, size = 100, 100
	for _, millions := range []int{1, 10} {
		b.Run(fmt.Sprintf("messages=%dM", millions), func(b *testing.B) {
			messages := scaled(millions * 1_000_000)
			dir := filepath.Join(b.TempDir(), "data")
			fill(b, dir, messages, size, publishers)
			s := start(b, dir)
			defer stop(b, s)
			seen := make([]client.Bookmark, publishers)
			var firsts []time.Duration
			for b.Loop() {
				for phase := range phases {
					had := messages/2 + phase*scaled(segment/phases/2/size)
					for p := range seen {
						seen[p] = client.Bookmark{Publisher: uint64(p) + 1, Sequence: uint64(had / publishers)}
					}
					firsts = append(firsts, firstMessage(b, s, seen))
				}
			}
			report(b, firsts, "first")
		})
	}
}

// firstMessage returns the time to the first message of a subscription.
func firstMessage(b *testing.B, s *server.Server, seen []client.Bookmark) time.Duration {
	c := dial(b, s, client.Config{Name: "resumes"})
	defer c.Close()
	begun := time.Now()
	sub, err := c.Subscribe(context.Background(), topic, client.From(client.After(seen...)))
	if err != nil {
		b.Fatal(err)
	}
	for m, err := range sub.Messages(context.Background()) {
		if err != nil || m.Bookmark.Sequence != seen[0].Sequence+1 {
			b.Fatal(m, err)
		}
		break
	}
	return time.Since(begun)
}

// BenchmarkPublishers measures publishing by 64 publishers in turn, by the number of
// publishers that the journal knows (B9).
func BenchmarkPublishers(b *testing.B) {
	for _, known := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprintf("known=%d", known), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "data")
			fill(b, dir, known, 100, known)
			s := start(b, dir)
			defer stop(b, s)
			publishInTurn(b, s, 64)
		})
	}
}

func publishInTurn(b *testing.B, s *server.Server, publishers int) {
	messages := scaled(1_000_000)
	clients := make([]*client.Client, publishers)
	for i := range clients {
		clients[i] = dial(b, s, client.Config{Name: fmt.Sprintf("p%d", i)})
		defer clients[i].Close()
	}
	body := make([]byte, 256)
	begun := time.Now()
	for b.Loop() {
		for n := range messages {
			if _, err := clients[n%publishers].Publish(context.Background(), topic, body); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range clients {
			if err := c.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
	rate(b, messages*b.N, time.Since(begun), "msg/s")
}

func rate(b *testing.B, n int, d time.Duration, unit string) {
	b.ReportMetric(float64(n)/d.Seconds(), unit)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSubscriptions measures the delivery of one publisher's messages to a number
// of live subscriptions. Up to 100 each has its own client, beyond that ten share one
// (B9).
func BenchmarkSubscriptions(b *testing.B) {
	for _, n := range []int{1, 100, 1_000} {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			s := start(b, filepath.Join(b.TempDir(), "data"))
			defer stop(b, s)
			messages := scaled(max(2_000_000/n, 10_000))
			begun := time.Now()
			for b.Loop() {
				begun = time.Now()
				fanOut(b, s, n, messages)
			}
			d := time.Since(begun)
			rate(b, messages, d, "msg/s")
			rate(b, messages*n, d, "deliveries/s")
		})
	}
}

func fanOut(b *testing.B, s *server.Server, subscriptions, messages int) {
	ctx := context.Background()
	var all sync.WaitGroup
	clients := min(subscriptions, 100)
	for i := range clients {
		c := dial(b, s, client.Config{Name: fmt.Sprintf("s%d", i)})
		defer c.Close()
		for range subscriptions / clients {
			sub, err := c.Subscribe(ctx, topic, client.From(client.Now))
			if err != nil {
				b.Fatal(err)
			}
			all.Go(func() { receive(b, sub, messages) })
		}
	}
	p := dial(b, s, client.Config{Name: "publisher"})
	defer p.Close()
	body := make([]byte, 256)
	for range messages {
		if _, err := p.Publish(ctx, topic, body); err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
}

func receive(b *testing.B, sub *client.Subscription, messages int) {
	n := 0
	for m, err := range sub.Messages(context.Background()) {
		if err != nil {
			b.Error(err)
			return
		}
		m.Discard()
		if n++; n == messages {
			return
		}
	}
}

// BenchmarkMemory measures the memory of a client with many messages outstanding on
// disk, and of an instance with a large journal and many publishers, beyond that of an
// idle one (B10).
func BenchmarkMemory(b *testing.B) {
	b.Run("client/outstanding=1M", func(b *testing.B) {
		for b.Loop() {
			before := inUse()
			store, err := pubstore.OpenFile(filepath.Join(b.TempDir(), "store"), pubstore.FileOptions{})
			if err != nil {
				b.Fatal(err)
			}
			c, err := client.Dial(context.Background(), client.Config{
				Name: "alone", Servers: []string{"tcp://127.0.0.1:1/amps/json"}, StartOffline: true, PublishStore: store, BookmarkStore: bookmarkstore.NewMemory(),
			})
			if err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 256)
			for range scaled(1_000_000) {
				if _, err := c.Publish(context.Background(), topic, body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(inUse()-before, "MiB")
			c.Close()
			store.Close()
		}
		b.ReportMetric(0, "ns/op")
	})
	b.Run("instance/messages=10M/publishers=100k", func(b *testing.B) {
		dir := filepath.Join(b.TempDir(), "data")
		fill(b, dir, scaled(10_000_000), 100, scaled(100_000))
		for b.Loop() {
			before := inUse()
			s := start(b, dir)
			b.ReportMetric(inUse()-before, "MiB")
			stop(b, s)
		}
		b.ReportMetric(0, "ns/op")
	})
}

// inUse returns the MiB of live heap and of stacks. It waits until they change no more, because an
// instance reads its summaries after the start.
func inUse() float64 {
	used := func() float64 {
		runtime.GC()
		runtime.GC() // frees what the first one has only found to be finalized
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc+m.StackInuse) / (1 << 20)
	}
	last := used()
	for range 20 {
		<-time.After(500 * time.Millisecond)
		now := used()
		if settled := now-last < 0.1 && last-now < 0.1; settled {
			return now
		}
		last = now
	}
	return last
}
