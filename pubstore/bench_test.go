package pubstore_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/perf/budget"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// These benchmarks measure the cost of a publish store for its application (work B6).

// benchMessage returns a message with a body of 256 bytes.
func benchMessage() *pubstore.Message {
	return &pubstore.Message{Topic: "important_topic", Body: make([]byte, 256)}
}

// recordBytes is the size of such a message in a store: topic, body, and 35 bytes of header.
const recordBytes = 35 + len("important_topic") + 256

// unbounded is a bound above the number of messages that a benchmark leaves in a store.
const unbounded = 1 << 30

func benchMemory(*testing.B) pubstore.Store {
	return pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: unbounded, MaxBytes: 1 << 40})
}

func benchFile(b *testing.B) pubstore.Store { return openBenchFile(b, pubstore.FileOptions{}) }

func openBenchFile(b *testing.B, o pubstore.FileOptions) *pubstore.File {
	b.Helper()
	o.MaxBytes, o.MaxMessages = 1<<40, unbounded
	s, err := pubstore.OpenFile(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// fastStores are the stores whose Append does not wait for a disk.
var fastStores = []struct {
	name string
	open func(*testing.B) pubstore.Store
}{{"Memory", benchMemory}, {"File", benchFile}}

func appendN(b testing.TB, s pubstore.Store, n int) {
	m := benchMessage()
	for range n {
		if _, err := s.Append(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend appends from one goroutine with a fixed number of outstanding messages. It
// discards 1,000 messages at a time, as acks do.
func BenchmarkAppend(b *testing.B) {
	for _, st := range fastStores {
		for _, keep := range []int{0, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/outstanding=%d", st.name, keep), func(b *testing.B) {
				s, m := st.open(b), benchMessage()
				appendN(b, s, keep)
				life := s.Lives()[0].ID
				b.SetBytes(int64(m.Size()))
				b.ReportAllocs()
				for b.Loop() {
					seq, err := s.Append(context.Background(), m)
					if err == nil && seq%1000 == 0 && seq > uint64(keep) {
						err = s.Discard(life, seq-uint64(keep))
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkAppendAndRead appends and reads, as a client does.
func BenchmarkAppendAndRead(b *testing.B) {
	for _, st := range fastStores {
		b.Run(st.name, func(b *testing.B) {
			s, m := st.open(b), benchMessage()
			life := s.Lives()[0]
			c, err := s.Cursor(life.ID, life.Last)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var got pubstore.Message
			b.SetBytes(int64(m.Size()))
			b.ReportAllocs()
			for b.Loop() {
				seq, err := s.Append(context.Background(), m)
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

// BenchmarkDiscard discards 1,000 messages at once with a fixed number of outstanding messages.
// It reports the cost per message as its own metric.
func BenchmarkDiscard(b *testing.B) {
	const acked = 1000
	for _, st := range fastStores {
		for _, keep := range []int{0, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/outstanding=%d", st.name, keep), func(b *testing.B) {
				s := st.open(b)
				appendN(b, s, keep+acked)
				life := s.Lives()[0].ID
				b.ReportAllocs()
				through := uint64(0)
				for b.Loop() {
					through += acked
					if err := s.Discard(life, through); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					appendN(b, s, acked)
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/acked, "ns/message")
			})
		}
	}
}

// BenchmarkReopen opens a store with 500,000 messages.
func BenchmarkReopen(b *testing.B) {
	const messages = 500_000
	path := b.TempDir()
	o := pubstore.FileOptions{MaxMessages: unbounded, MaxBytes: 1 << 40}
	open := func() *pubstore.File {
		s, err := pubstore.OpenFile(path, o)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	appendN(b, s, messages)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(messages * recordBytes))
	for b.Loop() {
		s := open()
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

// BenchmarkAppendDurable appends from several goroutines. Each waits until its message survives a
// power cut. It compares a File with SyncAlways, a Bolt, and a plain log. The plain log has no
// lives and sequences, discards nothing and cannot be opened again, so it measures the disk
// alone.
func BenchmarkAppendDurable(b *testing.B) {
	for _, st := range []struct {
		name string
		open func(*testing.B, seglog.FS) func(*pubstore.Message)
	}{
		{"File", func(b *testing.B, disk seglog.FS) func(*pubstore.Message) {
			return appendFunc(b, openBenchFile(b, testdoor.OnDisk(pubstore.FileOptions{SyncAlways: true}, disk)))
		}},
		{"Bolt", func(b *testing.B, _ seglog.FS) func(*pubstore.Message) { return appendFunc(b, openBenchBolt(b)) }},
		{"plain", func(b *testing.B, disk seglog.FS) func(*pubstore.Message) { return openPlain(b, disk).append }},
	} {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", st.name, goroutines), func(b *testing.B) {
				var disk budget.Meter
				appendOne := st.open(b, disk.Disk(seglog.OS))
				before := disk.Read()
				b.SetBytes(int64(benchMessage().Size()))
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				for g := range goroutines {
					all.Go(func() {
						m := benchMessage()
						for range (b.N + goroutines - 1 - g) / goroutines {
							appendOne(m)
						}
					})
				}
				all.Wait()
				if n := disk.Since(before).Syncs; n > 0 { // a Bolt does not sync through this disk
					b.ReportMetric(float64(b.N)/float64(n), "messages/sync")
				}
			})
		}
	}
}

func openBenchBolt(b *testing.B) *pubstore.Bolt {
	b.Helper()
	s, err := pubstore.OpenBolt(filepath.Join(b.TempDir(), "b.db"), pubstore.BoltOptions{MaxMessages: unbounded, MaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// appendFunc returns a function that appends a message and sometimes discards.
func appendFunc(b *testing.B, s pubstore.Store) func(*pubstore.Message) {
	life := s.Lives()[0].ID
	return func(m *pubstore.Message) {
		seq, err := s.Append(context.Background(), m)
		if err == nil && seq%1000 == 0 {
			err = s.Discard(life, seq)
		}
		if err != nil {
			b.Error(err)
		}
	}
}

// A plainLog is a file of batches of records with a CRC-32C. Each batch takes one write and one
// fdatasync. The next batch is gathered during the sync.
type plainLog struct {
	b     *testing.B
	file  seglog.File
	table *crc32.Table
	queue chan chan struct{}
	at    int64
}

func openPlain(b *testing.B, disk seglog.FS) *plainLog {
	b.Helper()
	f, err := disk.OpenFile(filepath.ToSlash(filepath.Join(b.TempDir(), "log")), os.O_CREATE)
	if err != nil {
		b.Fatal(err)
	}
	l := &plainLog{b: b, file: f, table: crc32.MakeTable(crc32.Castagnoli), queue: make(chan chan struct{}, 1024)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run()
	}()
	b.Cleanup(func() {
		close(l.queue)
		<-done
		f.Close()
	})
	return l
}

func (l *plainLog) append(*pubstore.Message) {
	synced := make(chan struct{})
	l.queue <- synced
	<-synced
}

func (l *plainLog) run() {
	body := make([]byte, 256)
	var buf []byte
	for first := range l.queue {
		batch := []chan struct{}{first}
		for runtime.Gosched(); len(l.queue) > 0; runtime.Gosched() {
			for range len(l.queue) {
				batch = append(batch, <-l.queue)
			}
		}
		buf = buf[:0]
		for range batch {
			buf = appendPlain(buf, body, l.table)
		}
		l.write(buf)
		for _, synced := range batch {
			close(synced)
		}
	}
}

// appendPlain appends a record. In addition to the body it has as many bytes as a record of a File.
func appendPlain(buf, body []byte, table *crc32.Table) []byte {
	at := len(buf)
	buf = append(buf, make([]byte, recordBytes-len(body))...)
	buf = append(buf, body...)
	sum := crc32.Checksum(buf[at+4:], table)
	buf[at], buf[at+1], buf[at+2], buf[at+3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return buf
}

// write writes and syncs. It allocates space ahead, as a File does.
func (l *plainLog) write(buf []byte) {
	const ahead = 16 << 20
	var err error
	if l.at%ahead+int64(len(buf)) >= ahead || l.at == 0 {
		err = l.file.Preallocate(l.at + 2*ahead)
	}
	if err == nil {
		_, err = l.file.WriteAt(buf, l.at)
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.b.Error(err)
	}
	l.at += int64(len(buf))
}

// BenchmarkPlainLog writes the plain log from one goroutine with a fixed number of messages per
// sync. It measures the limit of the disk.
func BenchmarkPlainLog(b *testing.B) {
	for _, batch := range []int{1, 64, 128, 1024} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l, body := openPlain(b, seglog.OS), make([]byte, 256)
			var buf []byte
			b.SetBytes(int64(benchMessage().Size()))
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				buf = buf[:0]
				for range min(batch, b.N-n) {
					buf = appendPlain(buf, body, l.table)
				}
				l.write(buf)
			}
		})
	}
}
