package budget

import (
	"net"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// maxMessage is the limit of messages that a Swallow announces.
const maxMessage = 1 << 20

// publisher is the publisher of the messages that a Swallow delivers.
const publisher = 5

// Time and user of each delivered message.
const timestamp = 1767323045678901

var user = []byte("somebody")

// A StubServer is a server of next to no cost. It acknowledges publishes as soon as
// there is nothing more to read, and delivers messages on request. It serves one
// connection and does not allocate once that is logged on.
type StubServer struct {
	t          testing.TB
	ln         net.Listener
	nc         net.Conn
	subscribed chan struct{} // closed when there is a subscription
	done       chan struct{}
	frame      wire.Delivery
	record     record.Record // the next record of a stretch
	Headers    []byte        // of each delivered message, as in a record
	raw        []byte        // the encoded record
	out        []byte        // output of Deliver
}

// NewStubServer serves the next connection of the listener until the test ends.
func NewStubServer(t testing.TB, ln net.Listener) *StubServer {
	s := &StubServer{t: t, ln: ln, subscribed: make(chan struct{}), done: make(chan struct{})}
	s.frame.Bookmark.Publisher = publisher
	go s.run()
	t.Cleanup(func() {
		ln.Close()
		<-s.done
	})
	return s
}

func (s *StubServer) run() {
	defer close(s.done)
	nc, err := s.ln.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	s.nc = nc
	s.serve(wire.NewReader(nc, maxMessage))
}

// serve answers until the connection ends.
func (s *StubServer) serve(r *wire.Reader) {
	var m wire.Message
	var out []byte
	for {
		frame, err := r.Next()
		if err != nil || wire.Parse(frame, &m) != nil {
			return
		}
		a := s.answer(&m)
		if a.Type == 0 || (m.Command == wire.Publish || m.Command == wire.Batch) && r.Buffered() > 0 {
			continue
		}
		out = a.AppendTo(out[:0])
		if _, err := s.nc.Write(out); err != nil {
			return
		}
		if m.Command == wire.Subscribe {
			close(s.subscribed)
		}
	}
}

// answer returns the ack of a command, one without a type if the command gets none.
func (s *StubServer) answer(m *wire.Message) wire.AckMessage {
	switch m.Command {
	case wire.Logon:
		return wire.AckMessage{
			CommandID: string(m.CommandID), ClientName: string(m.ClientName), Type: wire.AckProcessed, Success: true,
			HasSequence: true, Ext: true, Max: maxMessage,
		}
	case wire.Publish:
		return wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: m.Sequence, HasSequence: true}
	case wire.Batch:
		return wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: lastOf(m.Body), HasSequence: true}
	case wire.Subscribe:
		s.frame.SubIDs = []byte(string(m.SubID))
		if len(s.frame.SubIDs) == 0 {
			s.frame.SubIDs = []byte(string(m.CommandID))
		}
		return wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true, Bookmark: "0"}
	}
	return wire.AckMessage{}
}

// lastOf returns the sequence of the last message of a batch.
func lastOf(batch []byte) (last uint64) {
	for raw, rest, ok := record.CutFramed(batch); ok; raw, rest, ok = record.CutFramed(rest) {
		_, last, _ = record.Identity(raw)
	}
	return last
}

// AwaitSubscribed waits until there is a subscription.
func (s *StubServer) AwaitSubscribed() { <-s.subscribed }

// Deliver sends n messages of a topic to the subscription, in stretches, with all
// fields that a server sends.
func (s *StubServer) Deliver(n int, topic string, body []byte) {
	s.out = s.out[:0]
	r := &s.record
	*r = record.Record{Kind: record.Message, Publisher: publisher, Topic: append(r.Topic[:0], topic...), User: user, Headers: s.Headers, Body: body}
	var open wire.OpenStretch
	for range n {
		s.frame.Bookmark.Sequence++
		r.Sequence, r.Prev, r.Sum = s.frame.Bookmark.Sequence, s.frame.Bookmark.Sequence-1, 0
		var err error
		if s.raw, err = record.Append(s.raw[:0], r); err != nil {
			s.t.Errorf("deliver: %v", err)
		}
		if !open.Fits(s.out, len(s.raw)) {
			s.out = open.Begin(s.out, s.frame.SubIDs)
		}
		s.out = open.Add(s.out, timestamp, s.raw)
	}
	s.write()
}

// DeliverPlain is Deliver for a client without our extensions: each message is a
// frame of its own.
func (s *StubServer) DeliverPlain(n int, topic string, body []byte) {
	s.out = s.out[:0]
	s.frame.Topic = append(s.frame.Topic[:0], topic...)
	s.frame.UserID, s.frame.Timestamp, s.frame.Headers, s.frame.Body = user, timestamp, s.Headers, body
	for range n {
		s.frame.Bookmark.Sequence++
		s.out = s.frame.AppendTo(s.out)
	}
	s.write()
}

func (s *StubServer) write() {
	if _, err := s.nc.Write(s.out); err != nil {
		s.t.Errorf("deliver: %v", err)
	}
}
