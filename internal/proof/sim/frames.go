package sim

import (
	"encoding/binary"

	"github.com/holdfast-mq/holdfast/internal/testkit/stretches"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Between clients and instances go whole frames of the protocol, one or more
// in a packet.

// framePrefix is the length of a frame's length field.
const framePrefix = 4

// frameReader reads the frames of packets.
type frameReader struct {
	m       wire.Message
	onError func(error) // told of a frame that can't be parsed; nil: that is a bug
}

// each calls f with each frame of a packet until it returns false, and returns
// the remaining frames. The message is valid until the next call.
func (r *frameReader) each(packet []byte, f func(m *wire.Message) (more bool)) (rest []byte) {
	for len(packet) > 0 {
		end := framePrefix + int(binary.BigEndian.Uint32(packet))
		if err := wire.Parse(packet[framePrefix:end:end], &r.m); err != nil {
			if r.onError == nil {
				panic("BUG: " + err.Error())
			}
			r.onError(err)
			return nil
		}
		packet = packet[end:]
		if r.m.Command == wire.Stretch {
			packet = r.expand(packet)
			continue
		}
		if !f(&r.m) {
			break
		}
	}
	return packet
}

// expand returns the frames of the deliveries that a stretch stands for, and those after it.
func (r *frameReader) expand(behind []byte) []byte {
	packet, err := stretches.Expand(&r.m, behind)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return packet
}
