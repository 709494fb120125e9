package wire

import "bytes"

// An AckType is a type of ack. A command that asks for several types has them or-ed.
type AckType uint8

// The ack types. The values are those of the protocol's client libraries.
const (
	AckReceived  AckType = 1
	AckParsed    AckType = 2
	AckProcessed AckType = 4
	AckPersisted AckType = 8
	AckCompleted AckType = 16
	AckStats     AckType = 32
)

// ackNames is in the order in which a list is written.
var ackNames = [...]struct {
	ack  AckType
	name string
}{
	{AckReceived, "received"},
	{AckParsed, "parsed"},
	{AckProcessed, "processed"},
	{AckCompleted, "completed"},
	{AckPersisted, "persisted"},
	{AckStats, "stats"},
}

// AppendText appends the types in a as a comma list.
func (a AckType) AppendText(dst []byte) []byte {
	start := len(dst)
	for _, n := range &ackNames {
		if a&n.ack == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(dst, n.name...)
	}
	return dst
}

// String returns the types in a as a comma list.
func (a AckType) String() string { return string(a.AppendText(nil)) }

// ParseAcks parses a comma list of ack types. It ignores unknown names, and "none".
func ParseAcks(text []byte) AckType {
	if ack := parseAck(text); ack != 0 {
		return ack // usually the list has one type
	}
	var acks AckType
	for name := range bytes.SplitSeq(text, comma) {
		acks |= parseAck(bytes.TrimSpace(name))
	}
	return acks
}

var comma = []byte(",")

func parseAck(name []byte) AckType {
	for _, n := range &ackNames {
		if string(name) == n.name {
			return n.ack
		}
	}
	return 0
}
