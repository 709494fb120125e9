package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A reader that stops reading blocks nobody. When it reads again, it is told how many lines were
// dropped.
func TestOutputDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := newOutput(w)
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		const kept = 1 + maxOutputBytes/1024 // one more than fit: the first one is being written
		for i := range kept + 7 {
			o.Write(line)
			if i == 0 {
				synctest.Wait()
			}
		}
		if n := o.dropped.Load(); n != 7 {
			t.Errorf("%d lines are dropped, want 7", n)
		}
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			read <- string(all)
		}()
		o.close()
		w.Close()
		all := <-read
		if n := strings.Count(all, "x\n"); n != kept || !strings.Contains(all, "dropped 7 log lines") {
			t.Errorf("%d lines arrive, the last one is %q", n, all[strings.LastIndex(strings.TrimSpace(all), "\n")+1:])
		}
	})
}

// close does not wait long for a reader.
func TestOutputUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := newOutput(w)
		fmt.Fprintln(o, "a line")
		begun := time.Now()
		o.close()
		if took := time.Since(begun); took != outputCloseTimeout {
			t.Errorf("took %v", took)
		}
		r.Close()
		<-o.ended
		if o.dropped.Load() != 1 {
			t.Errorf("%d lines are dropped", o.dropped.Load())
		}
	})
}

// A failed write is not final: the next line is tried again.
func TestOutputFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &failing{fails: 3} // the first line, then the notice, then the second line
		o := newOutput(w)
		for i := range 4 {
			fmt.Fprintln(o, "line", i)
			synctest.Wait()
		}
		o.close()
		want := "holdfastd: dropped 2 log lines that nobody read\nline 2\nline 3\n"
		if got := w.took.String(); got != want || o.dropped.Load() != 2 {
			t.Errorf("%d lines are dropped, written is\n%s", o.dropped.Load(), got)
		}
	})
}

// A failing writer fails its first calls.
type failing struct {
	fails int
	took  bytes.Buffer
}

func (f *failing) Write(b []byte) (int, error) {
	if f.fails--; f.fails >= 0 {
		return 0, errors.New("nobody reads")
	}
	return f.took.Write(b)
}
