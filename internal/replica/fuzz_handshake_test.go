package replica

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A sink is a connection that keeps the bytes written to it.
type sink struct {
	net.Conn // nil: no other method is called
	b        bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error)      { return s.b.Write(b) }
func (s *sink) Close() error                     { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }

// FuzzHandshake is a stranger that sends anything to an instance that was dialled or that dials.
// The stranger does not become a peer, costs little memory, and learns nothing.
func FuzzHandshake(f *testing.F) {
	all := sampleFrames()
	open := all["open"]
	for _, dialled := range []bool{false, true} {
		f.Add(dialled, []byte{})
		f.Add(dialled, bytes.Clone(open[:20]))
		for _, frame := range all {
			f.Add(dialled, bytes.Clone(frame))
			f.Add(dialled, bytes.Join([][]byte{open, frame}, nil))
			f.Add(dialled, bytes.Join([][]byte{open, all["proof"], frame, all["states"]}, nil))
		}
		f.Add(dialled, bytes.Join([][]byte{open, open}, nil))
	}
	j, err := journal.Open(journal.Options{FS: memfs.New(), Dir: "j", Stepped: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { j.Close() })
	f.Fuzz(func(t *testing.T, dialled bool, stream []byte) {
		heap.Bounded(t, len(stream), 16, 256<<10, func() { handshakeWithStranger(t, j, dialled, stream) })
	})
}

func handshakeWithStranger(t *testing.T, j *journal.Journal, dialled bool, stream []byte) {
	l, err := NewSteppedLinks(Options{
		Name: "a", Group: "the-group", Digest: "the-digest", Secrets: FixedSecret(testSecret), Journal: j, HoldBytes: 1,
		Destinations: []Destination{{Name: "b", Sync: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, name := new(sink), ""
	if dialled {
		name = "b"
	}
	e := l.Connect(out, name)
	rest := bytes.NewReader(stream)
	for err == nil {
		_, sendErr := e.SendPending()
		r := frameReader{r: rest, limit: e.c.limit()}
		var payload []byte
		if payload, err = r.next(); err == nil {
			err = errors.Join(sendErr, e.c.handleFrame(payload))
		} else {
			err = e.c.explainReadError(err)
		}
	}
	e.Close(err)
	if e.Peer() != "" || l.Reachable() || e.c.limit() > openLimit {
		t.Errorf("a stranger became a peer")
	}
	sent := out.b.String()
	fr := frameReader{r: &out.b, limit: 1 << 20}
	for {
		payload, err := fr.next()
		if err != nil {
			break
		}
		switch kind, d := decode(payload); kind {
		case frameOpen, frameProof:
		case frameRefuse:
			r := new(RefusedError)
			if _ = d.body(r); r.Code != refuseStranger || r.Reason != "" {
				t.Errorf("a stranger gets refusal %+v", r)
			}
		default:
			t.Errorf("a stranger gets a frame of type %d", kind)
		}
	}
	if strings.Contains(sent, "the-") {
		t.Error("a stranger learns group or digest")
	}
}
