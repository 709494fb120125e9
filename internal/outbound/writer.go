package outbound

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A Source makes the output of a connection. Its methods are called by one
// goroutine at a time.
type Source interface {
	// Fill appends whole frames to b, about as many as one write should carry. It is called again
	// when the connection has taken all of them, and either the Writer was woken or the time next
	// has come. Again means at once, Idle only when woken. With io.EOF these frames are the last
	// ones. With any other error they are not written.
	//
	// inline is true if the caller is not the goroutine of Run. Then Fill must not block. If it
	// has output that does not suit an inline writer, it returns Again, which wakes Run's
	// goroutine. It may still append other frames.
	Fill(b []byte, inline bool) (out []byte, next time.Time, err error)
}

// Idle and Again are values of next: when to call Fill again.
var (
	Idle  = time.Time{}     // only when woken
	Again = time.Unix(0, 0) // at once
)

// Options configure a Writer. The zero value is usable.
type Options struct {
	// Timeout is the time limit for writing each chunk; 0: no limit. A slow network makes
	// progress; a peer that reads nothing does not.
	Timeout time.Duration
	// ChunkSize is the number of bytes written under one timeout; 0: 64 KiB. The last chunk may be
	// longer by a quarter.
	ChunkSize int
	// MaxBuffer is the maximum size in bytes of a buffer that is kept from one Fill to the next;
	// 0: 1 MiB.
	MaxBuffer int
	// News wakes Run's goroutine as Wake does. It may be nil.
	News <-chan struct{}
}

// A Writer writes the output of a Source to a connection. Its methods are safe
// for concurrent use. Nothing else may write to the connection before Run has
// returned.
type Writer struct {
	conn        net.Conn
	nonBlocking tryWriter // nil: the connection cannot be written without blocking
	source      Source
	options     Options
	wake        signal.Signal
	pending     atomic.Int64 // bytes of buf that are not written

	token    chan struct{} // its holder owns the fields up to err, and may block
	state    state
	buf      []byte    // the output of the last Fill
	written  int       // bytes of buf that the connection has taken
	nextFill time.Time // when Run's goroutine asks the source again without being woken
	err      error     // error of the source or connection that ends the output, once buf is written

	mu       sync.Mutex
	deadline time.Time // set by Finish; zero: none; guarded by mu
}

type state uint8

const (
	greeting state = iota
	running
	handingOver
	ended
)

// New returns a Writer that writes nothing before Run.
func New(conn net.Conn, source Source, o Options) *Writer {
	o.ChunkSize, o.MaxBuffer = cmp.Or(o.ChunkSize, 64<<10), cmp.Or(o.MaxBuffer, 1<<20)
	w := &Writer{
		conn: conn, nonBlocking: tryWriterOf(conn), source: source, options: o,
		wake: signal.New(), token: make(chan struct{}, 1),
	}
	w.release()
	return w
}

// Greeted allows inline writes from now on. Fill calls it when its output so far is all that the
// peer must read before anything else.
func (w *Writer) Greeted() {
	if w.state == greeting {
		w.state = running
	}
}

// Wake makes Run's goroutine ask the source.
func (w *Writer) Wake() { w.wake.Set() }

// Pending returns the number of bytes that the source has made and the connection has not taken.
// While a write blocks, its whole chunk counts.
func (w *Writer) Pending() int { return int(w.pending.Load()) }

// Finish sets a deadline by which the connection must take the rest of the output, instead of a
// timeout for each chunk. It wakes Run's goroutine. A later call moves the deadline.
func (w *Writer) Finish(deadline time.Time) {
	w.mu.Lock()
	w.deadline = deadline
	_ = w.conn.SetWriteDeadline(deadline) // fails only if the connection is closed, as writes then do
	w.mu.Unlock()
	w.Wake()
}

// Run writes until the source or the connection ends. It returns the error of the source or a
// write error. After it has returned, Fill is not called any more.
func (w *Writer) Run() error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, err := w.Step()
		if err != nil {
			return notEOF(err)
		}
		w.wait(timer, next)
	}
}

// notEOF returns err, or nil for io.EOF, with which a source ends the output.
func notEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // an error of the connection may wrap io.EOF
		return nil
	}
	return err
}

// wait returns when next has come or the Writer is woken.
func (w *Writer) wait(timer *time.Timer, next time.Time) {
	var due <-chan time.Time
	if !next.IsZero() {
		left := time.Until(next)
		if left <= 0 {
			return
		}
		timer.Reset(left)
		due = timer.C
	}
	select {
	case <-w.wake:
	case <-w.options.News:
	case <-due:
	}
}

// Step does one turn of Run on the caller's goroutine, for drivers without goroutines. It writes
// the rest of the last Fill, then one Fill. next is the value that Fill returned. The error io.EOF
// means that the Source has ended the output. Step and Run must not be used together.
func (w *Writer) Step() (next time.Time, err error) {
	<-w.token
	defer w.release()
	w.write()
	if w.err == nil {
		next = w.fill(false)
		w.write()
	}
	switch {
	case w.err != nil:
		w.state, w.buf = ended, w.buf[:0]
		w.pending.Store(0)
	case w.state == handingOver:
		w.state = running
	}
	w.nextFill = next
	return next, w.err
}

func (w *Writer) release() { w.token <- struct{}{} }

// WriteInline asks the source and writes its output on the caller's goroutine, as far as the
// connection takes it without blocking. It wakes Run's goroutine for the rest, and for output that
// does not suit an inline writer. It does not block.
func (w *Writer) WriteInline() {
	if w.nonBlocking == nil || !w.tryInline() {
		w.Wake()
	}
}

// tryInline reports whether it has left nothing for Run's goroutine to do before nextFill.
func (w *Writer) tryInline() (done bool) {
	select {
	case <-w.token:
	default:
		return false
	}
	defer w.release()
	if w.state != running {
		return false
	}
	next := w.fill(true)
	w.tryWrite()
	if w.err != nil || w.written < len(w.buf) {
		w.state = handingOver
		return false
	}
	return next.IsZero() || !w.nextFill.IsZero() && !next.Before(w.nextFill)
}

// fill asks the source.
func (w *Writer) fill(inline bool) (next time.Time) {
	w.buf, next, w.err = w.source.Fill(w.buf[:0], inline)
	w.written = 0
	w.pending.Store(int64(len(w.buf)))
	return next
}

// writable reports whether there is unwritten output that may be written.
func (w *Writer) writable() bool {
	return w.written < len(w.buf) && notEOF(w.err) == nil
}

// write writes the rest of the output.
func (w *Writer) write() {
	for w.writable() {
		w.writeWith(w.conn.Write, w.nextChunk())
	}
}

// nextChunk returns the bytes to write next, under one timeout. The last chunk may be longer by a
// quarter, because Fill may return a little more than one chunk.
func (w *Writer) nextChunk() []byte {
	rest := w.buf[w.written:]
	if w.options.Timeout > 0 && len(rest) > w.options.ChunkSize+w.options.ChunkSize/4 {
		return rest[:w.options.ChunkSize]
	}
	return rest
}

// tryWrite writes as much as the connection takes without blocking.
func (w *Writer) tryWrite() {
	if w.writable() {
		w.writeWith(w.nonBlocking.TryWrite, w.buf[w.written:])
	}
	if failpoint.On(failpoint.InlineForgets) {
		w.written = len(w.buf)
	}
}

// writeWith writes b, the next bytes, with the function write. An error replaces the source's
// io.EOF.
func (w *Writer) writeWith(write func(b []byte) (n int, err error), b []byte) {
	n, err := 0, w.setDeadline()
	if err == nil {
		n, err = write(b)
	}
	w.written += n
	w.pending.Store(int64(len(w.buf) - w.written))
	if err != nil {
		w.err = fmt.Errorf("write: %w", err)
	}
	if w.written == len(w.buf) && cap(w.buf) > w.options.MaxBuffer {
		w.buf, w.written = nil, 0
	}
}

// setDeadline sets the deadline of the next chunk.
func (w *Writer) setDeadline() error {
	if w.options.Timeout == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.deadline.IsZero() {
		return nil
	}
	return w.conn.SetWriteDeadline(time.Now().Add(w.options.Timeout))
}
