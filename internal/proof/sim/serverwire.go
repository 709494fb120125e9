package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// arrived takes in a packet of frames.
func (s *session) arrived(packet []byte) {
	s.in.each(packet, func(m *wire.Message) bool {
		s.received(command(m))
		return !s.ended
	})
}

// command returns what a client's frame says.
func command(m *wire.Message) any {
	switch m.Command {
	case wire.Logon:
		return logonPacket{ext: m.IsExt(), name: string(m.ClientName), life: string(m.Store), counter: m.Counter, acked: m.Acked}
	case wire.Publish:
		p := publishPacket{sequence: m.Sequence, prev: m.Sequence - 1, topic: string(m.Topic), body: binary.LittleEndian.Uint64(m.Body)}
		if m.HasPrev {
			p.prev = m.Prev
		}
		return p
	case wire.Subscribe:
		return subscribePacket{id: idOf(m.SubID), topic: string(m.Topic), bm: string(m.Bookmark), options: string(m.Options)}
	case wire.Unsubscribe:
		return unsubscribePacket{idOf(m.SubID)}
	}
	return beatPacket{}
}

func idOf(text []byte) uint64 {
	id, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return id
}

// send sends what a packet says as frames.
func (s *session) send(packet any) {
	if b := s.appendFrames(nil, packet); len(b) > 0 {
		s.s.send(b)
	}
}

func (s *session) appendFrames(dst []byte, packet any) []byte {
	var a wire.AckMessage
	switch p := packet.(type) {
	case logonAckPacket:
		a = wire.AckMessage{
			CommandID: "0", Type: wire.AckProcessed, Success: true, ClientName: s.claim.Name,
			Sequence: p.safe, HasSequence: true,
			Ext: true, Have: p.have, Max: maxMessage, CatchingUp: p.catchingUp, Instance: s.i.name, Peers: s.i.syncPeers(),
		}
	case failPacket:
		a = wire.AckMessage{Type: wire.AckProcessed, Reason: p.reason}
	case persistedPacket:
		a = wire.AckMessage{Type: wire.AckPersisted, Sequence: p.sequence, HasSequence: true, Success: !p.failure, Single: p.single}
	case subscribedPacket:
		id := fmt.Sprint(p.id)
		a = wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Success: p.reason == "", Reason: p.reason, SubID: id, Gap: string(wire.AppendGaps(nil, p.gaps))}
		if p.base != nil {
			a.Bookmark = p.base.String()
		}
	case markPacket:
		id := fmt.Sprint(p.sub)
		a = wire.AckMessage{CommandID: id, Type: wire.AckPersisted, Success: true, SubID: id, Bookmark: p.mark}
	case []messagePacket:
		return appendMessages(dst, p)
	case beatPacket:
		return (&wire.HeartbeatCommand{}).AppendTo(dst)
	}
	return a.AppendTo(dst)
}

func appendMessages(dst []byte, messages []messagePacket) []byte {
	var body [8]byte
	for n := range messages {
		m := &messages[n]
		binary.LittleEndian.PutUint64(body[:], m.body)
		d := wire.Delivery{Topic: m.topic, Bookmark: m.b, SubIDs: strconv.AppendUint(nil, m.sub, 10), Body: body[:]}
		dst = d.AppendTo(dst)
	}
	return dst
}

// syncPeers is the list of the instances that this one replicates to synchronously.
func (i *instance) syncPeers() string {
	var names []string
	for _, p := range i.peers {
		if !i.async[p.name] {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, ",")
}
