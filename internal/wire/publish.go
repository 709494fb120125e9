package wire

import "strconv"

// A PublishCommand is a publish or delta_publish, C→S.
//
//	{"c":"p","cid":…,"t":…,"a":…,"s":…,"e":…,"x":…,"k":…,"headers":…}body
//
// AppendTo of this and of every other command appends one whole frame with its length prefix,
// and does not allocate if dst has room. Empty texts and zero numbers are left out, unless a
// field says otherwise.
type PublishCommand struct {
	Delta         bool
	CommandID     string
	Topic         string
	Acks          AckType
	Sequence      uint64
	SequenceID    bool   // write the sequence as cid; CommandID is empty then
	Expiration    uint64 // written only if HasExpiration
	HasExpiration bool
	CorrelationID string
	SOWKey        string
	Headers       []byte // as in a record
	Body          []byte
}

// AppendTo appends the frame.
func (c *PublishCommand) AppendTo(dst []byte) []byte {
	command := Publish
	if c.Delta {
		command = DeltaPublish
	}
	dst, start := beginFrame(dst, command.String(), c.CommandID)
	if c.SequenceID {
		dst = append(strconv.AppendUint(append(dst, `,"cid":"`...), c.Sequence, 10), '"')
	}
	dst = appendText(dst, `,"t":`, c.Topic)
	dst = appendAcks(dst, c.Acks)
	dst = appendNumber(dst, `,"s":`, c.Sequence, c.Sequence > 0)
	dst = appendNumber(dst, `,"e":`, c.Expiration, c.HasExpiration)
	dst = appendText(dst, `,"x":`, c.CorrelationID)
	dst = appendText(dst, `,"k":`, c.SOWKey)
	dst = appendHeaders(dst, c.Headers)
	return endFrame(dst, start, c.Body)
}
