package clientcore

import (
	"errors"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// follow returns a ticket for a message of the present life.
func (r *rig) follow(sequence uint64) *Ticket {
	r.t.Helper()
	t := &Ticket{Publisher: pubstore.PublisherOf(r.s.LifeID()), Sequence: sequence}
	if !r.s.Publisher().Follow(t) {
		r.t.Fatal("the life is unknown")
	}
	return t
}

func (r *rig) persisted(sequence uint64, level string) {
	r.t.Helper()
	if _, err := r.s.HandleAck(&wire.Message{Command: wire.Ack, Acks: wire.AckPersisted, Status: text(wire.StatusSuccess), Sequence: sequence, HasSequence: true, Level: text(level)}); err != nil {
		r.t.Fatal(err)
	}
	r.s.Publisher().UpdateTickets()
}

// Tickets follow the progress of their life, whether there are few or many of them, and also
// during a downgrade. They are dropped once they are safe.
func TestTicketsFollowTheirLife(t *testing.T) {
	for _, every := range []uint64{1, 7, 60} {
		r := newRig(t)
		sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
		r.publish(60)
		if _, err := sender.Fill(nil, 1<<20); err != nil {
			t.Fatal(err)
		}
		tickets := make(map[uint64]*Ticket)
		for n := every; n <= 60; n += every {
			tickets[n] = r.follow(n)
		}
		check := func(settled, safe uint64) {
			t.Helper()
			for n, k := range tickets {
				if k.Settled != (n <= settled) || k.Safe != (n <= safe) || k.Err != nil {
					t.Errorf("one in %d, settled up to %d, safe up to %d: %d is %+v", every, settled, safe, n, k)
				}
			}
		}
		for n := uint64(1); n < 30; n++ {
			r.persisted(n, wire.LevelSingle)
			check(n, 0)
		}
		r.persisted(10, "")
		check(29, 10)
		r.persisted(60, "")
		check(60, 60)
		if p := r.s.Publisher(); p.followedMessages != 0 || len(p.current.waiting) != 0 {
			t.Errorf("one in %d: still follows %d messages", every, p.followedMessages)
		}
		if k := r.follow(5); !k.Safe || r.s.Publisher().followedMessages != 0 {
			t.Errorf("a ticket requested later: %+v", k)
		}
	}
}

// The latest rejections are remembered. A message whose rejection may be forgotten is never
// reported as safe.
func TestRejectionsAreForgotten(t *testing.T) {
	r := newRig(t)
	sender := r.logOn(logonAck(wire.StatusSuccess, 0, 0))
	const many = maxPastRejections + 10
	for n := uint64(1); n <= many+1; n++ {
		r.publish(1)
		if _, err := sender.Fill(nil, 1<<20); err != nil {
			t.Fatal(err)
		}
		r.persisted(n-1, "")
		if n == 3 || n > many {
			continue
		}
		rejected := Rejection{Life: r.s.LifeID(), Sequence: n}
		if err := rejected.LetGo(r.store); err != nil {
			t.Fatal(err)
		}
		r.s.Publisher().FailTickets(r.s.LifeID(), n, ErrTimeout, ErrTimeout)
		r.s.RejectionReported(&rejected)
	}
	r.persisted(many+1, "")
	for n, want := range map[uint64]error{1: ErrOutcomeUnknown, 3: ErrOutcomeUnknown, 9: ErrOutcomeUnknown, 20: ErrTimeout, many: ErrTimeout, many + 1: nil} {
		if k := r.follow(n); !errors.Is(k.Err, want) || k.Safe != (want == nil) {
			t.Errorf("message %d: %+v, want %v", n, k, want)
		}
	}
	if n := len(r.s.Publisher().current.pastRejections); n != maxPastRejections {
		t.Errorf("remembers %d rejections", n)
	}
}
