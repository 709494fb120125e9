package servertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A sink is a connection that keeps the bytes written to it.
type sink struct {
	net.Conn
	got []byte
}

func (s *sink) Write(p []byte) (int, error)        { s.got = append(s.got, p...); return len(p), nil }
func (s *sink) SetWriteDeadline(_ time.Time) error { return nil }

// output returns the output of a server in frames: an older failure, the answer to a
// logon, then acks and messages. passes are the frames that are never delayed, and
// delayed are those to which a delay applies.
func output(r *rand.Rand) (frames [][]byte, passes, delayed []string) {
	add := func(frame []byte) { frames = append(frames, frame) }
	add((&wire.AckMessage{Type: wire.AckPersisted, Sequence: 1, HasSequence: true, Reason: "no"}).AppendTo(nil))
	add((&wire.AckMessage{Type: wire.AckProcessed, ClientName: "app", Success: true}).AppendTo(nil))
	for n := range 30 {
		switch r.IntN(3) {
		case 0:
			add((&wire.AckMessage{Type: wire.AckPersisted, Sequence: uint64(n), HasSequence: true, Success: true}).AppendTo(nil))
			delayed = append(delayed, string(frames[len(frames)-1]))
		case 1:
			add((&wire.AckMessage{Type: wire.AckPersisted, SubID: "sub", Success: true, Bookmark: "1|1|"}).AppendTo(nil))
		default:
			add((&wire.Delivery{Topic: []byte("t"), SubIDs: []byte("1"), Body: make([]byte, r.IntN(2000))}).AppendTo(nil))
		}
	}
	for _, f := range frames {
		if !slices.Contains(delayed, string(f)) {
			passes = append(passes, string(f))
		}
	}
	return frames, passes, delayed
}

// The client gets whole frames, each once, for any pieces that the server writes and any
// changes of the delay. The acks keep their order, and so do all other frames.
func TestFramesInPieces(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				frames, passes, delayed := output(r)
				var s sink
				var l ackDelayer
				l.init(&s)
				delay := time.Duration(0)
				for p := bytes.Join(frames, nil); len(p) > 0; {
					if r.IntN(4) == 0 {
						delay = time.Duration(r.IntN(3)) * time.Second
					}
					n := min(1+r.IntN(1+r.IntN(3000)), len(p))
					if _, err := l.write(p[:n], delay); err != nil {
						t.Fatal(err)
					}
					if p = p[n:]; r.IntN(3) == 0 {
						time.Sleep(time.Second / 2)
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				var gotPasses, gotDelayed []string
				for rest := s.got; len(rest) > 0; {
					var f framer
					n, whole := f.next(rest)
					if !whole {
						t.Fatalf("%q at the end", rest)
					}
					if text := string(rest[:n]); slices.Contains(delayed, text) {
						gotDelayed = append(gotDelayed, text)
					} else {
						gotPasses = append(gotPasses, text)
					}
					rest = rest[n:]
				}
				if !slices.Equal(gotPasses, passes) || !slices.Equal(gotDelayed, delayed) {
					t.Errorf("messages\n%q\nwant\n%q\nacks\n%q\nwant\n%q", gotPasses, passes, gotDelayed, delayed)
				}
			})
		})
	}
}
