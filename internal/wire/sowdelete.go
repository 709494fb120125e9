package wire

// A SOWDeleteCommand is a sow_delete, C→S.
//
//	{"c":"sow_delete","cid":…,"t":…,"filter":…,"sow_keys":…,"bm":…,"a":…,"s":…,"opts":…}body
type SOWDeleteCommand struct {
	CommandID, Topic, Filter, SOWKeys, Bookmark, Options string
	Acks                                                 AckType
	Sequence                                             uint64
	Body                                                 []byte
}

// AppendTo appends the frame.
func (c *SOWDeleteCommand) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "sow_delete", c.CommandID)
	dst = appendText(dst, `,"t":`, c.Topic)
	dst = appendText(dst, `,"filter":`, c.Filter)
	dst = appendText(dst, `,"sow_keys":`, c.SOWKeys)
	dst = appendText(dst, `,"bm":`, c.Bookmark)
	dst = appendAcks(dst, c.Acks)
	dst = appendNumber(dst, `,"s":`, c.Sequence, c.Sequence > 0)
	dst = appendText(dst, `,"opts":`, c.Options)
	return endFrame(dst, start, c.Body)
}
