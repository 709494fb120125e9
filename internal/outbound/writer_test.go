package outbound_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// A source returns the parts that were added to it, one for each Fill.
type source struct {
	w *outbound.Writer

	mu       sync.Mutex
	parts    [][]byte
	greeted  bool // allow inline writes with the next Fill
	noInline bool // no output suits an inline writer
	next     time.Time
	end      error // returned with the last part
	calls    []bool
	room     int // capacity of b in the last Fill
	made     bytes.Buffer
}

func (s *source) add(parts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		s.parts = append(s.parts, []byte(p))
	}
}

func (s *source) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *source) Fill(b []byte, inline bool) ([]byte, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.room = append(s.calls, inline), cap(b)
	if len(b) > 0 {
		return b, outbound.Idle, errors.New("something is left of the last Fill")
	}
	if s.greeted {
		s.w.Greeted()
	}
	if inline && s.noInline {
		return b, outbound.Again, nil
	}
	if len(s.parts) > 0 {
		b = append(b, s.parts[0]...)
		s.made.Write(s.parts[0])
		s.parts = s.parts[1:]
	}
	if len(s.parts) > 0 {
		return b, outbound.Again, nil
	}
	return b, s.next, s.end
}

// counts returns the number of calls of Fill, and how many of them were inline.
func (s *source) counts() (all, inline int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, is := range s.calls {
		if is {
			inline++
		}
	}
	return len(s.calls), inline
}

// A rig is a Writer with a source, on one end of a connection.
type rig struct {
	*outbound.Writer
	*source
	t    *testing.T
	far  net.Conn
	done chan error // the result of Run
}

// newRig starts a Writer that may write inline.
func newRig(t *testing.T, near, far net.Conn, o outbound.Options) *rig {
	s := &source{greeted: true}
	s.w = outbound.New(near, s, o)
	r := &rig{s.w, s, t, far, make(chan error, 1)}
	go func() { r.done <- r.Run() }()
	return r
}

// inMemory runs a test with a Writer in a bubble, on a connection that buffers the given number of
// bytes.
func inMemory(t *testing.T, buffer int, o outbound.Options, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		n.SetBuffer(buffer)
		near, far := connect(t, n)
		r := newRig(t, near, far, o)
		synctest.Wait()
		defer r.stop(near)
		test(t, r)
	})
}

func connect(t *testing.T, n *memnet.Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	if near, err = n.Host("a").Dial(t.Context(), "b:1"); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close(); l.Close() })
	return near, far
}

// stop ends the Writer if it still runs.
func (r *rig) stop(near net.Conn) {
	near.Close()
	r.set(func() { r.end = io.EOF })
	r.Wake()
	<-r.done
}

// read reads len(want) bytes at the other end and compares them with want.
func (r *rig) read(want string) {
	r.t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(r.far, b); err != nil || string(b) != want {
		r.t.Fatalf("the other end reads %q (%v), want %q", b[:n], err, want)
	}
	synctest.Wait()
}

func (r *rig) wantPending(want int) {
	r.t.Helper()
	if got := r.Pending(); got != want {
		r.t.Fatalf("%d bytes are pending, want %d", got, want)
	}
}

// wantCalls checks the calls of Fill since the last check.
func (r *rig) wantCalls(all, inline int) {
	r.t.Helper()
	gotAll, gotInline := r.counts()
	r.set(func() { r.calls = nil })
	if gotAll != all || gotInline != inline {
		r.t.Fatalf("%d calls of Fill, %d of them inline, want %d and %d", gotAll, gotInline, all, inline)
	}
}

// wantEnd checks the result of Run; nil means an end without an error.
func (r *rig) wantEnd(want error) {
	r.t.Helper()
	synctest.Wait()
	select {
	case err := <-r.done:
		r.done <- err
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			r.t.Fatalf("Run ends with %v, want %v", err, want)
		}
	default:
		r.t.Fatal("Run has not returned")
	}
	r.set(func() { r.calls = nil })
	r.WriteInline()
	r.Wake()
	synctest.Wait()
	r.wantCalls(0, 0)
	r.wantPending(0)
}

// The caller of WriteInline writes, and no other goroutine does anything.
func TestWriteInline(t *testing.T) {
	inMemory(t, 100, outbound.Options{}, func(t *testing.T, r *rig) {
		r.wantCalls(1, 0)
		for range 3 {
			r.add("news")
			r.WriteInline()
			synctest.Wait()
			r.wantCalls(1, 1)
			r.read("news")
		}
		r.WriteInline() // there is no output
		synctest.Wait()
		r.wantCalls(1, 1)
		r.add("news")
		r.Wake()
		synctest.Wait()
		r.wantCalls(1, 0)
		r.read("news")
	})
}

// Only Run's goroutine writes before the greeting is out.
func TestGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := connect(t, memnet.New())
		s := &source{}
		s.w = outbound.New(near, s, outbound.Options{})
		r := &rig{s.w, s, t, far, make(chan error, 1)}
		r.add("hello")
		r.WriteInline()
		r.wantCalls(0, 0) // Run has not been called
		go func() { r.done <- r.Run() }()
		defer r.stop(near)
		synctest.Wait()
		r.wantCalls(2, 0) // one of them because WriteInline has woken it
		r.read("hello")
		r.add("more")
		r.WriteInline()
		synctest.Wait()
		r.wantCalls(1, 0)
		r.read("more")
		r.set(func() { r.greeted = true })
		r.Wake()
		synctest.Wait()
		r.wantCalls(1, 0)
		r.add("news")
		r.WriteInline()
		r.wantCalls(1, 1)
		r.read("news")
	})
}

// The connection takes a part of an inline write, or nothing. Run's goroutine writes the rest. The
// source is not asked until then.
func TestHandingOver(t *testing.T) {
	for takes := range 4 {
		t.Run(fmt.Sprint("takes ", takes), func(t *testing.T) {
			inMemory(t, 8, outbound.Options{}, func(t *testing.T, r *rig) {
				fill := "12345678"[takes:]
				r.add(fill)
				r.WriteInline()
				r.wantPending(0)
				r.wantCalls(2, 1) // one of them at the start
				r.add("frame1")
				r.WriteInline()
				synctest.Wait()
				r.wantCalls(1, 1)
				r.wantPending(6 - takes)
				r.add("frame2", "frame3")
				r.WriteInline()
				r.WriteInline()
				synctest.Wait()
				r.wantCalls(0, 0)
				r.read(fill + "frame1frame2frame3")
				r.wantPending(0)
				r.wantCalls(3, 0) // one of them because WriteInline has woken it
				r.add("news")
				r.WriteInline()
				r.wantCalls(1, 1)
				r.read("news")
			})
		})
	}
}

// Output that does not suit an inline writer is left to Run's goroutine.
func TestOutputNotForInline(t *testing.T) {
	inMemory(t, 100, outbound.Options{}, func(t *testing.T, r *rig) {
		r.wantCalls(1, 0)
		r.set(func() { r.noInline = true })
		r.add("long story")
		r.WriteInline()
		synctest.Wait()
		r.wantCalls(2, 1)
		r.read("long story")
		r.set(func() { r.noInline = false })
		r.add("part1", "part2", "part3") // Again after an inline write
		r.WriteInline()
		synctest.Wait()
		r.wantCalls(3, 1)
		r.read("part1part2part3")
	})
}

// The source is asked again at the time that it gave, whichever goroutine got that time.
func TestNextFill(t *testing.T) {
	inMemory(t, 100, outbound.Options{}, func(t *testing.T, r *rig) {
		in := func(d time.Duration) { r.set(func() { r.next = time.Now().Add(d) }) }
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		r.wantCalls(1, 0)
		pass(24 * time.Hour)
		r.wantCalls(0, 0)
		in(time.Minute)
		r.Wake()
		pass(time.Minute - 1)
		r.wantCalls(1, 0)
		in(time.Minute)
		pass(1)
		r.wantCalls(1, 0)
		r.WriteInline() // returns the same time
		synctest.Wait()
		r.wantCalls(1, 1)
		in(time.Second) // sooner than the goroutine expects
		r.WriteInline()
		pass(0)
		r.wantCalls(2, 1)
		r.set(func() { r.next = outbound.Idle })
		pass(time.Second - 1)
		r.wantCalls(0, 0)
		pass(1)
		r.wantCalls(1, 0)
		pass(24 * time.Hour)
		r.wantCalls(0, 0)
		in(time.Second) // while the goroutine expects nothing
		r.WriteInline()
		pass(0)
		r.wantCalls(2, 1)
	})
}

func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		news := make(chan struct{}, 1)
		near, far := connect(t, memnet.New())
		r := newRig(t, near, far, outbound.Options{News: news})
		defer r.stop(near)
		synctest.Wait()
		r.add("news")
		news <- struct{}{}
		synctest.Wait()
		r.wantCalls(2, 0)
		r.read("news")
	})
}

// smallChunks makes chunks of three bytes.
var smallChunks = outbound.Options{Timeout: time.Hour, ChunkSize: 3}

// triggers are the ways to make the Writer ask the source.
var triggers = map[string]func(*rig){"inline": func(r *rig) { r.WriteInline() }, "woken": func(r *rig) { r.Wake() }}

// When the source ends, all its output is written, whichever goroutine asked it.
func TestEnd(t *testing.T) {
	for name, trigger := range triggers {
		for _, last := range []string{"", "bye", "farewell"} {
			t.Run(fmt.Sprintf("%s, %q", name, last), func(t *testing.T) {
				inMemory(t, 3, smallChunks, func(t *testing.T, r *rig) {
					r.add(last)
					r.set(func() { r.end = io.EOF })
					trigger(r)
					synctest.Wait()
					r.wantPending(max(0, len(last)-3))
					r.read(last)
					r.wantEnd(nil)
				})
			})
		}
	}
}

// When the source fails, the output of that Fill is not written.
func TestSourceFails(t *testing.T) {
	failed := errors.New("disk failed")
	for name, trigger := range triggers {
		t.Run(name, func(t *testing.T) {
			inMemory(t, 3, outbound.Options{}, func(t *testing.T, r *rig) {
				r.add("abcdef")
				r.WriteInline()
				synctest.Wait()
				r.read("abcdef")
				r.add("half a fra")
				r.set(func() { r.end = failed })
				trigger(r)
				r.wantEnd(failed)
				r.far.SetReadDeadline(time.Now())
				if n, err := r.far.Read(make([]byte, 10)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%d bytes were written (%v)", n, err)
				}
			})
		})
	}
}

// When the connection fails, in a frame or before it, nothing more is written.
func TestConnectionFails(t *testing.T) {
	for name, trigger := range triggers {
		t.Run(name+", torn", func(t *testing.T) {
			inMemory(t, 3, smallChunks, func(t *testing.T, r *rig) {
				r.add("abcdef", "next")
				trigger(r)
				synctest.Wait()
				r.wantPending(3)
				r.far.Close() // with unread bytes, which causes a reset
				r.wantEnd(syscall.ECONNRESET)
				if got := r.made.String(); got != "abcdef" {
					t.Errorf("the source was asked for %q", got)
				}
			})
		})
		t.Run(name+", before", func(t *testing.T) {
			inMemory(t, 3, outbound.Options{}, func(t *testing.T, r *rig) {
				r.add("abc")
				r.WriteInline()
				r.far.Close()
				r.add("def")
				trigger(r)
				r.wantEnd(syscall.ECONNRESET)
			})
		})
	}
}

// Each chunk has its own timeout, so a slow peer does not count as dead.
func TestTimeout(t *testing.T) {
	inMemory(t, 4, outbound.Options{Timeout: time.Second, ChunkSize: 4}, func(t *testing.T, r *rig) {
		r.add("1234567890123456")
		r.WriteInline()
		for _, chunk := range []string{"1234", "5678", "9012"} {
			time.Sleep(time.Second - 1)
			r.read(chunk)
		}
		r.wantPending(0) // everything is in the connection's buffer
		r.add("next")
		r.Wake()
		began := time.Now()
		err := <-r.done
		r.done <- err
		if took := time.Since(began); took != time.Second {
			t.Errorf("Run waited %v", took)
		}
		r.wantEnd(os.ErrDeadlineExceeded)
	})
}

// A counted connection records the lengths of the writes.
type counted struct {
	net.Conn
	writes []int
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes = append(c.writes, len(b))
	return len(b), nil
}

// Each chunk has its own timeout, and no write is a very small rest.
func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		o     outbound.Options
		bytes int
		want  []int
	}{
		{outbound.Options{}, 1 << 20, []int{1 << 20}}, // no timeout, no chunks
		{outbound.Options{Timeout: time.Hour}, 64<<10 + 300, []int{64<<10 + 300}},
		{outbound.Options{Timeout: time.Hour, ChunkSize: 100}, 125, []int{125}},
		{outbound.Options{Timeout: time.Hour, ChunkSize: 100}, 126, []int{100, 26}},
		{outbound.Options{Timeout: time.Hour, ChunkSize: 100}, 399, []int{100, 100, 100, 99}},
	} {
		near, far := tcp(t)
		c := &counted{Conn: near}
		r := newRig(t, c, far, tt.o)
		r.add(string(make([]byte, tt.bytes)))
		r.set(func() { r.end = io.EOF })
		r.Wake()
		if err := <-r.done; err != nil || !slices.Equal(c.writes, tt.want) {
			t.Errorf("%d bytes with %+v are written in chunks of %d (%v), want %d", tt.bytes, tt.o, c.writes, err, tt.want)
		}
	}
}

// Finish limits the time for the whole rest, including a write in progress.
func TestFinish(t *testing.T) {
	o := outbound.Options{Timeout: time.Hour, ChunkSize: 4}
	inMemory(t, 4, o, func(t *testing.T, r *rig) {
		r.set(func() { r.end = io.EOF })
		r.Finish(time.Now().Add(time.Second))
		r.wantEnd(nil)
	})
	inMemory(t, 4, o, func(t *testing.T, r *rig) {
		r.add("12345678", "90")
		r.Wake()
		synctest.Wait()
		r.set(func() { r.end = io.EOF })
		r.Finish(time.Now().Add(time.Second))
		r.read("1234567890")
		r.wantEnd(nil)
	})
	inMemory(t, 4, o, func(t *testing.T, r *rig) {
		r.add("1234567890")
		r.WriteInline()
		r.Finish(time.Now().Add(2 * time.Second))
		time.Sleep(time.Second)
		r.read("1234") // this does not extend the time
		time.Sleep(time.Second - 1)
		synctest.Wait()
		r.wantPending(2)
		time.Sleep(time.Nanosecond)
		r.wantEnd(os.ErrDeadlineExceeded)
	})
	inMemory(t, 4, outbound.Options{}, func(t *testing.T, r *rig) {
		r.add("1234567890")
		r.Wake()
		synctest.Wait()
		r.wantPending(10) // the whole chunk that is being written
		r.Finish(time.Now().Add(time.Second))
		r.Finish(time.Now().Add(-time.Second)) // the later call counts
		r.wantEnd(os.ErrDeadlineExceeded)
	})
}

// A buffer longer than MaxBuffer is not kept.
func TestMaxBuffer(t *testing.T) {
	inMemory(t, 1<<20, outbound.Options{MaxBuffer: 1000}, func(t *testing.T, r *rig) {
		long := string(make([]byte, 2000))
		for _, trigger := range []func(){r.WriteInline, r.Wake} {
			for _, part := range []string{"short", long} {
				r.add(part)
				trigger()
				synctest.Wait()
				r.read(part)
			}
			r.WriteInline()
			if r.room > 0 {
				t.Errorf("%d bytes were kept", r.room)
			}
			r.add("short")
			trigger()
			synctest.Wait()
			r.read("short")
			if r.WriteInline(); r.room == 0 {
				t.Error("a short buffer was not kept")
			}
		}
	})
}
