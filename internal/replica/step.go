package replica

import (
	"bytes"
	"context"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/outbound"
)

// Stepped are an instance's links without goroutines, clock and sockets of
// their own: whoever has them brings frames, says when time has passed, and
// takes what is to be sent. For one goroutine. Everything that decides or
// counts is that of Links.
type Stepped struct{ *Links }

// NewStepped returns links that are stepped. Options.Dial is not used;
// Options.Listener is closed by Close.
func NewStepped(o Options) (*Stepped, error) {
	l, err := newLinks(o)
	if err != nil {
		return nil, err
	}
	return &Stepped{l}, nil
}

// Step does what time brings, and returns after how long it is due again;
// negative: only when Woken says so.
func (l *Stepped) Step() time.Duration { return l.step() }

// Woken reports whether Step is to be called because something has happened.
func (l *Stepped) Woken() bool {
	select {
	case <-l.wake:
		return true
	default:
		return false
	}
}

// A Poll returns the answers to a question so far, whether those have answered
// who count for Enough, and whether all have, which ends the question. With last
// it ends all the same.
type Poll func(last bool) (a Answers, enough, done bool)

// Ask tells the peers of a logon.
func (l *Stepped) Ask(n Notice) Poll {
	id, q := l.ask(context.Background(), &n)
	return func(last bool) (Answers, bool, bool) {
		switch {
		case last || isClosed(q.done):
			return l.answers(id, q), true, true
		case isClosed(q.enough):
			return l.soFar(q), true, false
		}
		return Answers{}, false, false
	}
}

// An Order is an operator's order under way: it reports whether it has ended, and how.
// With last no answer is waited for any more.
type Order func(last bool) (done bool, err error)

// Decree is Links.Decree, with a random id of the decree.
func (l *Stepped) Decree(lost []string, id uint64) Order { return order(l.makeDecree(lost, id)) }

// EndDecree is Links.EndDecree.
func (l *Stepped) EndDecree() Order { return order(l.endDecree()) }

func order(m *making, err error) Order {
	return func(last bool) (bool, error) {
		for more := err == nil; more; {
			if !last && !isClosed(m.offer.done) {
				return false, nil
			}
			more, err = m.next()
		}
		return true, err
	}
}

// An End is one end of a connection between two instances.
type End struct{ c *conn }

// Connect returns the end of a connection to the destination of that name, or
// of one that a peer made. Frames to be sent are written to nc.
func (l *Stepped) Connect(nc net.Conn, destination string) *End {
	c := l.newConn(nc, l.peer(destination))
	l.lobby.enter(c)
	c.begin()
	return &End{c}
}

// Take takes in one frame, header and all. An error ends the connection: Close it.
func (e *End) Take(frame []byte) error {
	r := frameReader{r: bytes.NewReader(frame), limit: e.c.limit()}
	payload, err := r.next()
	if err != nil {
		return e.c.broken(err)
	}
	return e.c.take(payload)
}

// Turn sends what there is, one batch of records at most, and a heartbeat if one
// is due. It reports whether there may be more. Between turns, single records and
// acks are sent inline if the connection has a TryWrite method.
func (e *End) Turn() (busy bool, err error) {
	next, err := e.c.out.Step()
	return next.Equal(outbound.Again), err
}

// Peer is the peer's name, empty as long as it isn't known.
func (e *End) Peer() string {
	if e.c.theirs == nil {
		return ""
	}
	return e.c.theirs.Name
}

// Ended reports whether the connection has been ended, as by another one that took its place.
func (e *End) Ended() bool { return isClosed(e.c.done) }

// Close ends the connection; the first cause counts. A refusal of ours is still told.
func (e *End) Close(cause error) {
	if isClosed(e.c.ended) {
		return
	}
	e.c.fail(cause)
	_, _ = e.c.out.Step() // the farewell
	e.c.sender.close()
	_ = e.c.nc.Close()
	e.c.l.disconnected(e.c, e.c.cause)
	close(e.c.ended)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
