package wire

// A FlushCommand is a flush, C→S. The server sends its ack after the acks of all earlier
// commands.
//
//	{"c":"flush","cid":…,"a":…}
type FlushCommand struct {
	CommandID string
	Acks      AckType
}

// AppendTo appends the frame.
func (c *FlushCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "flush", c.CommandID)
	dst = appendAcks(dst, c.Acks)
	return endFrame(dst, start, nil)
}
