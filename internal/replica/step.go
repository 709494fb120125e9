package replica

import (
	"bytes"
	"context"
	"net"
	"time"

	"github.com/holdfast-mq/holdfast/internal/outbound"
)

// SteppedLinks are the links of an instance without goroutines, clock or sockets of their own. The
// driver brings frames, calls Step as time passes, and takes the frames to be sent. They belong to
// one goroutine. All decisions and counters are those of Links.
type SteppedLinks struct{ *Links }

// NewSteppedLinks returns links without goroutines. Options.Dial is not used. Close closes
// Options.Listener.
func NewSteppedLinks(o Options) (*SteppedLinks, error) {
	l, err := newLinks(o)
	if err != nil {
		return nil, err
	}
	return &SteppedLinks{l}, nil
}

// Step does everything that is due and returns the delay until the next call. A negative delay
// means that the next call is needed when Woken returns true.
func (l *SteppedLinks) Step() time.Duration { return l.step() }

// Woken reports whether something has happened that requires a call of Step.
func (l *SteppedLinks) Woken() bool {
	select {
	case <-l.wake:
		return true
	default:
		return false
	}
}

// A Poll returns the answers to a notice so far. enough reports whether all peers that count for
// Answers.EnoughAnswered have answered. done reports whether all peers have, which ends the notice.
// A call with last set ends the notice in any case.
type Poll func(last bool) (a Answers, enough, done bool)

// Ask tells the peers of a logon and returns the poll of their answers.
func (l *SteppedLinks) Ask(n Notice) Poll {
	id, q := l.sendNotice(context.Background(), &n)
	return func(last bool) (Answers, bool, bool) {
		switch {
		case last || isClosed(q.done):
			return l.finishNotice(id, q), true, true
		case isClosed(q.enough):
			return l.partialAnswers(q), true, false
		}
		return Answers{}, false, false
	}
}

// A DecreePoll continues the making or ending of a decree. It reports whether that is done, and its
// error. A call with last set waits for no more answers.
type DecreePoll func(last bool) (done bool, err error)

// Decree is Links.Decree with id as the id of the decree; id is random.
func (l *SteppedLinks) Decree(lost []string, id uint64) DecreePoll {
	return pollDecree(l.startDecree(lost, id))
}

// EndDecree is Links.EndDecree.
func (l *SteppedLinks) EndDecree() DecreePoll { return pollDecree(l.startEndDecree()) }

func pollDecree(p *decreeProcess, err error) DecreePoll {
	return func(last bool) (bool, error) {
		for more := err == nil; more; {
			if !last && !isClosed(p.round.done) {
				return false, nil
			}
			more, err = p.nextRound()
		}
		return true, err
	}
}

// An Endpoint is one end of a connection between two instances.
type Endpoint struct{ c *conn }

// Connect returns this instance's end of a connection: to the named destination, or, if the name
// is empty, one that a peer dialled. The frames to be sent are written to nc.
func (l *SteppedLinks) Connect(nc net.Conn, destination string) *Endpoint {
	c := l.newConn(nc, l.peer(destination))
	l.pending.add(c)
	c.startHandshake()
	return &Endpoint{c}
}

// Receive handles one frame, including its header. After an error the caller must call Close.
func (e *Endpoint) Receive(frame []byte) error {
	r := frameReader{r: bytes.NewReader(frame), limit: e.c.limit()}
	payload, err := r.next()
	if err != nil {
		return e.c.explainReadError(err)
	}
	return e.c.handleFrame(payload)
}

// SendPending sends the pending frames, at most one batch of records, and a heartbeat if one is
// due. It reports whether there may be more. Between calls, single records and acks are sent inline
// if the connection has a TryWrite method.
func (e *Endpoint) SendPending() (busy bool, err error) {
	next, err := e.c.out.Step()
	return next.Equal(outbound.Again), err
}

// Peer returns the peer's name, empty until it is known.
func (e *Endpoint) Peer() string {
	if e.c.theirs == nil {
		return ""
	}
	return e.c.theirs.Name
}

// Ended reports whether the connection has been closed, for example because another one has
// replaced it.
func (e *Endpoint) Ended() bool { return isClosed(e.c.done) }

// Close closes the connection. Only the first cause counts. If the cause is a refusal of ours, the
// peer still gets it.
func (e *Endpoint) Close(cause error) {
	if isClosed(e.c.ended) {
		return
	}
	e.c.closeWith(cause)
	_, _ = e.c.out.Step() // the final frame
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
