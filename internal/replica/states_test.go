package replica

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// meet sends a hello as b and reads the states of the instance.
func meet(w *world) *fakeConn {
	c := w.dial("b", "a")
	c.sendHello(&Hello{Name: "b", Group: "g", Digest: "d", Outbound: true, Cluster: testCluster, Intact: true})
	return c
}

// A peer's states name each publisher once, in order, so that a hello is no longer than a table of
// publishers. Other states end the connection at once.
func TestStatesInOrder(t *testing.T) {
	for name, frames := range map[string][][]uint64{
		"a publisher twice":             {{7, 7}},
		"not in order":                  {{7, 9, 8}},
		"a publisher twice, two frames": {{7, 8}, {8}},
		"from the beginning again":      {{7, 8}, {7, 8}},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			w.start("a", Destination{Name: "b", Sync: true})
			c := meet(w)
			for _, ids := range frames {
				var states []journal.PublisherState
				for _, id := range ids {
					states = append(states, journal.PublisherState{Publisher: id})
				}
				c.enc.frame(frameStates, statesFrameOf(false, states))
				c.send()
			}
			if r := c.expectRefusal(); !strings.Contains(r.Reason, "not in order") {
				t.Errorf("%s: refused: %q", name, r.Reason)
			}
		})
	}
}

// A handshake has a time limit, so even endless states come to an end.
func TestStatesEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", Destination{Name: "b", Sync: true})
		c := meet(w)
		began := time.Now()
		for id := uint64(0); time.Since(began) < 2*helloTimeout; id++ {
			c.enc.frame(frameStates, statesFrameOf(false, []journal.PublisherState{{Publisher: id}}))
			if _, err := c.nc.Write(c.enc.finish()); err != nil {
				break
			}
			pass(time.Second)
		}
		if took := time.Since(began); took > helloTimeout+2*time.Second {
			t.Errorf("ended after %v", took)
		}
		if n := a.l.countConnections(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A frame names no more publishers than a hello may, however short each entry is.
func TestPublishersOfAFrame(t *testing.T) {
	for name, decode := range map[string]func(d *decoder) error{
		"ack":       func(d *decoder) error { return d.body(new(vectorFrame)) },
		"heartbeat": func(d *decoder) error { return d.body(new(heartbeat)) },
	} {
		e := newEncoder()
		e.begin(frameAck)
		if name == "heartbeat" {
			e.begin(frameHeartbeat)
			e.bool(new(false))
			e.bool(new(false))
		}
		e.array(maxStates+1, 0, 0)
		payload := append(e.finish()[frameHeader:], make([]byte, 3*(maxStates+1))...)
		d := newDecoder()
		d.begin(payload)
		heap.Bounded(t, 0, 1, 1<<20, func() {
			if err := decode(d); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d", maxStates)) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
