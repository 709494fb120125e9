package wire

// A SubscribeCommand is a command of the subscribe or sow family, C→S.
//
//	{"c":"sow","cid":…,"t":…,"sub_id":…,"query_id":…,"bm":…,"bs":…,"filter":…,"orderby":…,
//	 "sow_keys":…,"top_n":…,"a":…,"opts":…}
//
// Without a query, the acks stand elsewhere:
//
//	{"c":"subscribe","cid":…,"t":…,"sub_id":…,"query_id":…,"bm":…,"a":…,"filter":…,"opts":…}
type SubscribeCommand struct {
	Command                                                     Command // Subscribe, …
	CommandID, Topic, SubID, QueryID, Bookmark, Filter, Options string
	OrderBy, SOWKeys                                            string
	BatchSize, TopN                                             uint64
	Acks                                                        AckType
}

// AppendTo appends the frame.
func (c *SubscribeCommand) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = beginFrame(dst, c.Command.String())
	dst = appendText(dst, `,"cid":`, c.CommandID)
	dst = appendText(dst, `,"t":`, c.Topic)
	dst = appendText(dst, `,"sub_id":`, c.SubID)
	dst = appendText(dst, `,"query_id":`, c.QueryID)
	dst = appendText(dst, `,"bm":`, c.Bookmark)
	query := c.Command != Subscribe && c.Command != DeltaSubscribe
	if !query {
		dst = appendAcks(dst, c.Acks)
	}
	dst = appendNumber(dst, `,"bs":`, c.BatchSize, c.BatchSize > 0)
	dst = appendText(dst, `,"filter":`, c.Filter)
	dst = appendText(dst, `,"orderby":`, c.OrderBy)
	dst = appendText(dst, `,"sow_keys":`, c.SOWKeys)
	dst = appendNumber(dst, `,"top_n":`, c.TopN, c.TopN > 0)
	if query {
		dst = appendAcks(dst, c.Acks)
	}
	dst = appendText(dst, `,"opts":`, c.Options)
	return endFrame(dst, start, nil)
}
