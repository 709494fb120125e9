package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"
)

// An input is the file or stream to publish. It is read once, from its beginning.
type input struct {
	name string // for people
	r    io.Reader
	size int64 // in bytes; 0: unknown
	f    *os.File
}

// openInput opens a file, or standard input for "-".
func openInput(path string) (*input, error) {
	if path == "-" {
		return &input{name: "standard input", r: os.Stdin}, nil
	}
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usageErrorf("--file %s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, usageErrorf("--file %s can't be read: %v", path, fs.ErrPermission)
	case err != nil:
		return nil, &exitError{exitUsage, fmt.Errorf("--file: %w", err)}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = usageErrorf("--file %s is a directory: name a file, or pipe the lines to standard input", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	in := &input{name: path, r: f, f: f}
	if info.Mode().IsRegular() {
		in.size = info.Size()
	}
	return in, nil
}

func (in *input) close() {
	if in.f != nil {
		in.f.Close()
	}
}

// A line is one message of the input, with the extent of the input that ends with it.
type line struct {
	body []byte
	at   extent
}

// A lineReader reads lines ahead of the publishing goroutine, which is slower. It has one
// goroutine, which ends with the input, with an error, or with its context. No caller
// waits for it, since it may block on a pipe without a writer.
type lineReader struct {
	in      *bufio.Reader
	name    string
	whole   bool
	maxBody int // in bytes
	limiter rateLimiter
	// onSkipped is called when the published part of the input was read and is unchanged.
	onSkipped func()

	hash    hash.Hash
	at      extent
	batches chan []line // capacity 1; closed at the end, after err is set
	err     error       // io.EOF: the input has ended
}

const (
	batchLines = 4096
	batchBytes = 1 << 20
)

func newLineReader(in *input, whole bool, most int, rate float64) *lineReader {
	return &lineReader{
		in: bufio.NewReaderSize(in.r, 64<<10), name: in.name, whole: whole, maxBody: most,
		limiter: rateLimiter{rate: rate}, hash: sha256.New(), batches: make(chan []line, 1),
	}
}

// run reads all lines after the extent from.
func (r *lineReader) run(ctx context.Context, from extent) {
	defer close(r.batches)
	if r.err = r.skip(ctx, from); r.err != nil {
		return
	}
	if r.onSkipped != nil && from.Bytes > 0 {
		r.onSkipped()
	}
	for r.err == nil {
		r.err = r.forwardLine(ctx)
	}
}

// skip reads the part of the input that was published before, and checks that it has
// not changed.
func (r *lineReader) skip(ctx context.Context, from extent) error {
	for left := from.Bytes; left > 0; {
		n, err := io.CopyN(r.hash, r.in, min(left, 1<<20))
		left -= n
		if errors.Is(err, io.EOF) {
			return r.inputChanged("it ends after %d bytes, but %d were published", from.Bytes-left, from.Bytes)
		}
		if err = cmp.Or(err, context.Cause(ctx)); err != nil {
			return err
		}
	}
	r.at = from
	if from.Bytes > 0 && !bytes.Equal(r.hash.Sum(nil), from.Sum[:]) {
		return r.inputChanged("its first %d lines have changed", from.Lines)
	}
	if !from.Open {
		return nil
	}
	if _, err := r.in.Peek(1); err != io.EOF {
		return cmp.Or(err, r.inputChanged("it ended with line %d and now has more", from.Lines))
	}
	return nil
}

// inputChanged returns the error for an input that is not the one of the interrupted run.
func (r *lineReader) inputChanged(format string, args ...any) error {
	return usageErrorf("%s is not the input of the interrupted run: %s. "+
		"Use that input to continue the run, --restart to publish this one from its beginning, or another --store",
		r.name, fmt.Sprintf(format, args...))
}

// forwardLine reads one line and hands it over.
func (r *lineReader) forwardLine(ctx context.Context) error {
	raw, err := r.nextLine()
	if err != nil && (err != io.EOF || len(raw) == 0) {
		return err
	}
	r.limiter.wait(ctx)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	body, ended := bytes.CutSuffix(raw, []byte("\n"))
	if r.whole {
		body = raw
	}
	r.hash.Write(raw)
	r.at.Lines++
	r.at.Bytes += int64(len(raw))
	r.at.Open = r.whole || !ended
	r.hash.Sum(r.at.Sum[:0])
	return r.send(ctx, line{body, r.at})
}

// nextLine returns the next line with its newline, or the whole input with --whole.
func (r *lineReader) nextLine() (raw []byte, err error) {
	if r.whole {
		raw, err = io.ReadAll(io.LimitReader(r.in, int64(r.maxBody)+1))
		if len(raw) > r.maxBody {
			return nil, r.tooLong("the input")
		}
		return raw, cmp.Or(err, io.EOF)
	}
	for {
		part, err := r.in.ReadSlice('\n')
		raw = append(raw, part...)
		if len(bytes.TrimSuffix(raw, []byte("\n"))) > r.maxBody {
			return nil, r.tooLong(fmt.Sprintf("line %d", r.at.Lines+1))
		}
		if err != bufio.ErrBufferFull {
			return raw, err
		}
	}
}

func (r *lineReader) tooLong(message string) error {
	return &exitError{exitFault, fmt.Errorf("%s: %s has more than %d bytes, the limit of a message: it is not published; shorten or remove it",
		r.name, message, r.maxBody)}
}

// send hands a line over, in one batch with the lines that were not received yet. It
// waits only if that batch is full.
func (r *lineReader) send(ctx context.Context, l line) error {
	var batch []line
	select {
	case batch = <-r.batches:
	default:
	}
	if len(batch) > 0 && (len(batch) == batchLines || l.at.Bytes-batch[0].at.Bytes > batchBytes) {
		r.batches <- batch
		batch = nil
	}
	select {
	case r.batches <- append(batch, l):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A rateLimiter limits lines to a rate.
type rateLimiter struct {
	rate  float64 // lines per second; 0: no limit
	start time.Time
	n     float64
}

// wait waits until the next line is due, or ctx ends.
func (p *rateLimiter) wait(ctx context.Context) {
	if p.rate == 0 {
		return
	}
	if p.n == 0 {
		p.start = time.Now()
	}
	left := time.Until(p.start.Add(time.Duration(p.n / p.rate * float64(time.Second))))
	p.n++
	if left < -time.Second { // the input paused: do not make up for the lost time
		p.start = p.start.Add(-left)
	}
	if left > 0 {
		pause(ctx, left)
	}
}
