package wire

import "slices"

// A SubscribeCommand is a command of the subscribe or sow family, or a sow_delete, C→S.
//
//	{"c":"sow","cid":…,"t":…,"sub_id":…,"query_id":…,"bm":…,"bs":…,"filter":…,"orderby":…,
//	 "sow_keys":…,"top_n":…,"a":…,"opts":…}body
//
// In the commands without a query, subscribe and delta_subscribe, the acks come earlier:
//
//	{"c":"subscribe","cid":…,"t":…,"sub_id":…,"query_id":…,"bm":…,"a":…,"filter":…,"opts":…,"parts":…,"sum":…}
//
// With InParts, a bookmark longer than PartBytes is split. Each part is a frame of its own
// before the command. Only a split command has parts and sum:
//
//	{"c":"subscribe","cid":…,"sub_id":…,"bm":…,"part":…}
type SubscribeCommand struct {
	Command                                                     Command // any of the family
	CommandID, Topic, SubID, QueryID, Bookmark, Filter, Options string
	OrderBy, SOWKeys                                            string
	BatchSize, TopN                                             uint64
	Acks                                                        AckType
	InParts                                                     bool
	Body                                                        []byte // of a sow_delete
}

// AppendTo appends the frame, or all frames if the bookmark is split.
func (c *SubscribeCommand) AppendTo(dst []byte) []byte {
	var parts splitter
	bookmark := c.Bookmark
	if c.InParts {
		dst = slices.Grow(dst, len(bookmark)+len(bookmark)/64)
		bookmark = parts.cut(bookmark, func(part string, n uint64) { dst = c.appendPart(dst, part, n) })
		parts.add(bookmark)
	}
	dst, start := beginFrame(dst, c.Command.String(), c.CommandID)
	dst = appendText(dst, `,"t":`, c.Topic)
	dst = appendText(dst, `,"sub_id":`, c.SubID)
	dst = appendText(dst, `,"query_id":`, c.QueryID)
	dst = appendText(dst, `,"bm":`, bookmark)
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
	return endFrame(parts.appendEnd(dst), start, c.Body)
}

func (c *SubscribeCommand) appendPart(dst []byte, part string, n uint64) []byte {
	dst, start := beginFrame(dst, c.Command.String(), c.CommandID)
	dst = appendText(dst, `,"sub_id":`, c.SubID)
	dst = appendText(dst, `,"bm":`, part)
	dst = appendNumber(dst, `,"part":`, n, true)
	return endFrame(dst, start, nil)
}
