package wire

// An UnsubscribeCommand is an unsubscribe, C→S.
//
//	{"c":"unsubscribe","cid":…,"sub_id":…,"query_id":…,"a":…}
type UnsubscribeCommand struct {
	CommandID      string
	SubID, QueryID string // an id or a comma list; SubID may also be "all"
	Acks           AckType
}

// AppendTo appends the frame.
func (c *UnsubscribeCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "unsubscribe", c.CommandID)
	dst = appendText(dst, `,"sub_id":`, c.SubID)
	dst = appendText(dst, `,"query_id":`, c.QueryID)
	dst = appendAcks(dst, c.Acks)
	return endFrame(dst, start, nil)
}
