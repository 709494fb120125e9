package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

func frameOf(content string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(content)))) + content
}

// readAll reads up to the first error that ends the connection. For a frame that is too large it
// returns the header after a mark.
func readAll(r *wire.Reader) (frames []string, err error) {
	for {
		frame, err := r.Next()
		var tooLarge *wire.TooLargeError
		if errors.As(err, &tooLarge) {
			if frame, err = r.NextTooLarge(); err == nil {
				frame = append([]byte("too large: "), frame...)
			}
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, string(frame))
	}
}

func TestReader(t *testing.T) {
	big := strings.Repeat("b", 300_000)
	for _, tt := range []struct {
		name   string
		stream string
		want   []string
		err    error
	}{
		{"nothing", "", nil, io.EOF},
		{"frames", frameOf("{}") + frameOf("{}x"), []string{"{}", "{}x"}, io.EOF},
		{"empty frames", frameOf("") + frameOf("") + frameOf("{}") + frameOf(""), []string{"{}"}, io.EOF},
		{"large ones between small ones", frameOf("a") + frameOf(big) + frameOf("c") + frameOf(big+"2"), []string{"a", big, "c", big + "2"}, io.EOF},
		{"half a prefix", frameOf("a") + "\x00\x00", []string{"a"}, io.ErrUnexpectedEOF},
		{"only a prefix", "\x00\x00\x00\x01", nil, io.ErrUnexpectedEOF},
		{"half a frame", frameOf("ab")[:5], nil, io.ErrUnexpectedEOF},
		{"too large", frameOf(`{"t":"\"}"}`+strings.Repeat("x", 1<<20)) + frameOf("next"), []string{`too large: {"t":"\"}"}`, "next"}, io.EOF},
		{"too large and cut", frameOf(`{}` + strings.Repeat("x", 1<<20))[:500_000], []string{`too large: {}`}, io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, conn := range map[string]io.Reader{
				"whole":   strings.NewReader(tt.stream),
				"by byte": iotest.OneByteReader(strings.NewReader(tt.stream)),
				"halves":  iotest.HalfReader(strings.NewReader(tt.stream)),
				"eof":     iotest.DataErrReader(strings.NewReader(tt.stream)),
			} {
				got, err := readAll(wire.NewReader(conn, 400_000))
				if !slices.Equal(got, tt.want) || err != tt.err {
					t.Errorf("%s: %d frames, %v, want %d, %v", name, len(got), err, len(tt.want), tt.err)
				}
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	r := wire.NewReader(strings.NewReader(frameOf(strings.Repeat("x", wire.MaxHeader+1))+frameOf("{}")), 10)
	for range 2 { // the frame stays in place until NextTooLarge is called
		var tooLarge *wire.TooLargeError
		if _, err := r.Next(); !errors.As(err, &tooLarge) || tooLarge.Size != wire.MaxHeader+1 || tooLarge.Max != 10 {
			t.Errorf("Next: %v", err)
		}
	}
	var header *wire.HeaderError
	if _, err := r.NextTooLarge(); !errors.As(err, &header) {
		t.Errorf("a header without an end: %v", err)
	}
}

// A flaky connection times out before each read that returns bytes.
type flaky struct {
	io.Reader
	ok bool
}

func (f *flaky) Read(p []byte) (int, error) {
	if f.ok = !f.ok; f.ok {
		return 0, os.ErrDeadlineExceeded
	}
	return f.Reader.Read(p[:min(len(p), 3)])
}

func TestReaderContinuesAfterADeadline(t *testing.T) {
	r := wire.NewReader(&flaky{Reader: strings.NewReader(frameOf("{}hello") + frameOf("{}"+strings.Repeat("x", 100)) + frameOf("{}"))}, 50)
	retry := func(next func() ([]byte, error)) ([]byte, error) {
		for {
			if frame, err := next(); !errors.Is(err, os.ErrDeadlineExceeded) {
				return frame, err
			}
		}
	}
	var tooLarge *wire.TooLargeError
	if frame, err := retry(r.Next); string(frame) != "{}hello" {
		t.Errorf("first %q, %v", frame, err)
	}
	if _, err := retry(r.Next); !errors.As(err, &tooLarge) {
		t.Errorf("second %v", err)
	}
	if header, err := retry(r.NextTooLarge); string(header) != "{}" {
		t.Errorf("header of the second %q, %v", header, err)
	}
	if frame, err := retry(r.Next); string(frame) != "{}" {
		t.Errorf("third %q, %v", frame, err)
	}
	if _, err := retry(r.Next); err != io.EOF {
		t.Errorf("at the end %v", err)
	}
}

// A meter records the largest buffer of a read, less the bytes delivered before.
type meter struct {
	io.Reader
	delivered, worst int
}

func (m *meter) Read(p []byte) (int, error) {
	m.worst = max(m.worst, len(p)-m.delivered)
	n, err := m.Reader.Read(p)
	m.delivered += n
	return n, err
}

func TestMemoryGrowsWithTheBytesRead(t *testing.T) {
	for _, arrives := range []int{0, 10, 70_000, 1 << 20} {
		stream := frameOf(strings.Repeat("x", 16<<20))[:4+arrives]
		m := &meter{Reader: strings.NewReader(stream)}
		if _, err := wire.NewReader(m, wire.MaxFrame).Next(); err != io.ErrUnexpectedEOF {
			t.Errorf("Next: %v", err)
		}
		if m.worst > 64<<10 {
			t.Errorf("after %d bytes: a buffer for %d more than had arrived", arrives, m.worst)
		}
	}
}

func TestBuffered(t *testing.T) {
	r := wire.NewReader(strings.NewReader(frameOf("ab")+frameOf("cd")), 10)
	for _, want := range []int{6, 0} {
		if _, err := r.Next(); err != nil || r.Buffered() != want {
			t.Errorf("Buffered = %d, %v, want %d", r.Buffered(), err, want)
		}
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestNoProgress(t *testing.T) {
	if _, err := wire.NewReader(silent{}, 10).Next(); err != io.ErrNoProgress {
		t.Errorf("Next: %v", err)
	}
}

// An endless connection repeats a stream.
type endless struct {
	stream []byte
	at     int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.stream[e.at:])
	e.at = (e.at + n) % len(e.stream)
	return n, nil
}

func TestReaderDoesNotAllocate(t *testing.T) {
	var stream []byte
	for i := range 20 {
		stream = append(stream, frameOf(fmt.Sprintf(`{"s":%d}%s`, i, strings.Repeat("x", i*100)))...)
	}
	r := wire.NewReader(&endless{stream: stream}, wire.MaxFrame)
	next := func() {
		if _, err := r.Next(); err != nil {
			t.Error(err)
		}
	}
	for range 10_000 {
		next() // until the buffer has its final size
	}
	if n := testing.AllocsPerRun(1000, next); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A read takes many bytes if they are available, wherever the frames are in the buffer.
func TestReaderReadsManyBytesAtOnce(t *testing.T) {
	const frames = 10_000
	var stream []byte
	for range frames {
		stream = append(stream, frameOf(strings.Repeat("x", 300))...)
	}
	c := &counted{r: bytes.NewReader(stream)}
	r := wire.NewReader(c, wire.MaxFrame)
	for range frames {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if want := len(stream) / (64 << 10); c.reads > 2*want {
		t.Errorf("%d reads for %d bytes, want about %d", c.reads, len(stream), want)
	}
}

type counted struct {
	r     io.Reader
	reads int
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	return c.r.Read(p)
}
