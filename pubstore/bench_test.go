package pubstore_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

var benchBody = make([]byte, 256)

func benchFile(b *testing.B, o pubstore.FileOptions) *pubstore.File {
	b.Helper()
	o.MaxBytes, o.MaxMessages = 1<<40, 1<<30
	s, err := pubstore.OpenFile(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func appendN(b testing.TB, s pubstore.Store, n int) {
	m := pubstore.Message{Topic: "important_topic", Body: benchBody}
	for range n {
		if _, err := s.Append(context.Background(), &m); err != nil {
			b.Fatal(err)
		}
	}
}

// steady appends b.N messages while keep stay outstanding, letting go in lots
// of 1,000 as acks do.
func steady(b *testing.B, s pubstore.Store, keep int) {
	appendN(b, s, keep)
	life := s.Lives()[0].ID
	m := pubstore.Message{Topic: "important_topic", Body: benchBody}
	b.SetBytes(int64(m.Size()))
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		seq, err := s.Append(context.Background(), &m)
		if err != nil {
			b.Fatal(err)
		}
		if n%1000 == 999 {
			if err := s.Discard(life, seq-uint64(keep)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// B6: append from one goroutine at 0, 10k and 1M outstanding.
func BenchmarkAppend(b *testing.B) {
	for _, keep := range []int{0, 10_000, 1_000_000} {
		b.Run(fmt.Sprint("Memory/outstanding=", keep), func(b *testing.B) {
			steady(b, pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 1 << 30, MaxBytes: 1 << 40}), keep)
		})
		b.Run(fmt.Sprint("File/outstanding=", keep), func(b *testing.B) {
			steady(b, benchFile(b, pubstore.FileOptions{}), keep)
		})
	}
}

// B6: append and read, as a client does.
func BenchmarkAppendAndRead(b *testing.B) {
	for name, s := range map[string]pubstore.Store{
		"Memory": pubstore.NewMemory(pubstore.MemoryOptions{}), "File": benchFile(b, pubstore.FileOptions{}),
	} {
		b.Run(name, func(b *testing.B) {
			life := s.Lives()[0]
			c, err := s.Cursor(life.ID, life.Last)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			m := pubstore.Message{Topic: "important_topic", Body: benchBody}
			var got pubstore.Message
			b.ReportAllocs()
			for b.Loop() {
				seq, err := s.Append(context.Background(), &m)
				if err != nil {
					b.Fatal(err)
				}
				if ok, err := c.Next(&got); !ok || err != nil {
					b.Fatal(ok, err)
				}
				if seq%1000 == 0 {
					s.Discard(life.ID, seq)
				}
			}
		})
	}
}

// B6: sync-always from 64 goroutines, and bbolt from as many.
func BenchmarkAppendDurable(b *testing.B) {
	bolt, err := pubstore.OpenBolt(filepath.Join(b.TempDir(), "b.db"), pubstore.BoltOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bolt.Close() })
	stores := []struct {
		name string
		s    pubstore.Store
	}{{"File", benchFile(b, pubstore.FileOptions{SyncAlways: true})}, {"Bolt", bolt}}
	for _, st := range stores {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprint(st.name, "/goroutines=", goroutines), func(b *testing.B) {
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() { appendN(b, st.s, b.N/goroutines+min(1, max(0, b.N%goroutines-g))) })
				}
				wg.Wait()
				l := st.s.Lives()[0]
				st.s.Discard(l.ID, l.Last)
			})
		}
	}
}

// BenchmarkPlainLog is what B6 compares with: append with CRC-32C, one write
// and one sync for each batch.
func BenchmarkPlainLog(b *testing.B) {
	for _, batch := range []int{1, 32, 64, 128, 1024} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "log"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			table := crc32.MakeTable(crc32.Castagnoli)
			var buf []byte
			for n := 0; n < b.N; n += batch {
				buf = buf[:0]
				for range batch {
					buf = append(buf, make([]byte, 50)...)
					buf = append(buf, benchBody...)
					crc32.Checksum(buf[len(buf)-306:], table)
				}
				if _, err := f.Write(buf); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// B6: cumulative discard, per message.
func BenchmarkDiscard(b *testing.B) {
	s := pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 1 << 30, MaxBytes: 1 << 40})
	m := pubstore.Message{Topic: "important_topic", Body: benchBody[:16]}
	for range b.N {
		if _, err := s.Append(context.Background(), &m); err != nil {
			b.Fatal(err)
		}
	}
	life := s.Lives()[0].ID
	b.ReportAllocs()
	b.ResetTimer()
	for n := uint64(100); n <= uint64(b.N)+100; n += 100 {
		s.Discard(life, n)
	}
}

// B6: opening a store with much in it.
func BenchmarkReopen(b *testing.B) {
	const messages = 500_000
	path := b.TempDir()
	o := pubstore.FileOptions{MaxMessages: 1 << 30, MaxBytes: 1 << 40}
	s, err := pubstore.OpenFile(path, o)
	if err != nil {
		b.Fatal(err)
	}
	appendN(b, s, messages)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(messages * 331)
	for b.Loop() {
		s, err := pubstore.OpenFile(path, o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}
