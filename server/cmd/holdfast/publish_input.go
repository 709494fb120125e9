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
	size int64 // in bytes; 0: not known
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
		return nil, usagef("--file %s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, usagef("--file %s can't be read: %v", path, fs.ErrPermission)
	case err != nil:
		return nil, &exitError{exitUsage, fmt.Errorf("--file: %w", err)}
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = usagef("--file %s is a directory: name a file, or give the lines on standard input", path)
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

// A feed reads lines ahead of the publishing goroutine, which is slower. It has one
// goroutine, which ends with the input, with an error, or with its context. Nobody
// waits for it: it may hang in reading a pipe that nobody writes to.
type feed struct {
	in    *bufio.Reader
	name  string
	whole bool
	most  int // bytes of a body
	pace  pace
	// skipped is called when the published part of the input was read and is unchanged.
	skipped func()

	hash hash.Hash
	at   extent
	out  chan []line // capacity 1; closed at the end, after err is set
	err  error       // io.EOF: the input has ended
}

const (
	batchLines = 4096
	batchBytes = 1 << 20
)

func newFeed(in *input, whole bool, most int, rate float64) *feed {
	return &feed{
		in: bufio.NewReaderSize(in.r, 64<<10), name: in.name, whole: whole, most: most,
		pace: pace{rate: rate}, hash: sha256.New(), out: make(chan []line, 1),
	}
}

// run reads all lines after the extent from.
func (f *feed) run(ctx context.Context, from extent) {
	defer close(f.out)
	if f.err = f.skip(ctx, from); f.err != nil {
		return
	}
	if f.skipped != nil && from.Bytes > 0 {
		f.skipped()
	}
	for f.err == nil {
		f.err = f.one(ctx)
	}
}

// skip reads the part of the input that was published before, and checks that it has
// not changed.
func (f *feed) skip(ctx context.Context, from extent) error {
	for left := from.Bytes; left > 0; {
		n, err := io.CopyN(f.hash, f.in, min(left, 1<<20))
		left -= n
		if errors.Is(err, io.EOF) {
			return f.differs("it ends after %d bytes, and %d were published", from.Bytes-left, from.Bytes)
		}
		if err = cmp.Or(err, context.Cause(ctx)); err != nil {
			return err
		}
	}
	f.at = from
	if from.Bytes > 0 && !bytes.Equal(f.hash.Sum(nil), from.Sum[:]) {
		return f.differs("its first %d lines are others", from.Lines)
	}
	if !from.Open {
		return nil
	}
	if _, err := f.in.Peek(1); err != io.EOF {
		return cmp.Or(err, f.differs("it ended with line %d, and has more now", from.Lines))
	}
	return nil
}

// differs returns the error for an input that is not the one of the interrupted run.
func (f *feed) differs(format string, args ...any) error {
	return usagef("%s is not the input that was being published when the last run ended: %s. "+
		"Give that one to go on with it, or --restart to publish this one from its beginning, or another --store",
		f.name, fmt.Sprintf(format, args...))
}

// one reads one line and hands it over.
func (f *feed) one(ctx context.Context) error {
	raw, err := f.read()
	if err != nil && (err != io.EOF || len(raw) == 0) {
		return err
	}
	f.pace.wait(ctx)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	body, ended := bytes.CutSuffix(raw, []byte("\n"))
	if f.whole {
		body = raw
	}
	f.hash.Write(raw)
	f.at.Lines++
	f.at.Bytes += int64(len(raw))
	f.at.Open = f.whole || !ended
	f.hash.Sum(f.at.Sum[:0])
	return f.give(ctx, line{body, f.at})
}

// read returns the next line with its newline, or the whole input with --whole.
func (f *feed) read() (raw []byte, err error) {
	if f.whole {
		raw, err = io.ReadAll(io.LimitReader(f.in, int64(f.most)+1))
		if len(raw) > f.most {
			return nil, f.tooLong("the input")
		}
		return raw, cmp.Or(err, io.EOF)
	}
	for {
		part, err := f.in.ReadSlice('\n')
		raw = append(raw, part...)
		if len(bytes.TrimSuffix(raw, []byte("\n"))) > f.most {
			return nil, f.tooLong(fmt.Sprintf("line %d", f.at.Lines+1))
		}
		if err != bufio.ErrBufferFull {
			return raw, err
		}
	}
}

func (f *feed) tooLong(message string) error {
	return &exitError{exitFound, fmt.Errorf("%s: %s has more than %d bytes, which is the limit of a message: nothing of it is published; shorten it or take it out",
		f.name, message, f.most)}
}

// give hands a line over, in one batch with the lines that were not taken yet. It
// waits only if that batch is full.
func (f *feed) give(ctx context.Context, l line) error {
	var batch []line
	select {
	case batch = <-f.out:
	default:
	}
	if len(batch) > 0 && (len(batch) == batchLines || l.at.Bytes-batch[0].at.Bytes > batchBytes) {
		f.out <- batch
		batch = nil
	}
	select {
	case f.out <- append(batch, l):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A pace limits lines to a rate.
type pace struct {
	rate  float64 // a second; 0: as fast as it goes
	begun time.Time
	n     float64
}

// wait waits until the next line is due, or ctx ends.
func (p *pace) wait(ctx context.Context) {
	if p.rate == 0 {
		return
	}
	if p.n == 0 {
		p.begun = time.Now()
	}
	left := time.Until(p.begun.Add(time.Duration(p.n / p.rate * float64(time.Second))))
	p.n++
	if left < -time.Second { // the input paused: the lost time is not made up for
		p.begun = p.begun.Add(-left)
	}
	if left > 0 {
		pause(ctx, left)
	}
}
