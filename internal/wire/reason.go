package wire

// Reasons of acks, as they stand on the wire. Of the first group the text is
// the protocol's own; of the second it isn't published anywhere and the text
// here is a likely one; the third are our extensions.
const (
	ReasonAuthFailure    = "auth failure"
	ReasonNotEntitled    = "not entitled"
	ReasonNameInUse      = "name in use"
	ReasonBadFilter      = "bad filter"
	ReasonBadRegexTopic  = "bad regex topic"
	ReasonInvalidTopic   = "invalid topic"
	ReasonNoTopic        = "no topic"
	ReasonSubIDInUse     = "subid in use"
	ReasonDuplicate      = "duplicate"
	ReasonAuthDisabled   = "authentication disabled" // with success
	ReasonInvalidCommand = "invalid command"

	ReasonInvalidBookmark    = "invalid bookmark"
	ReasonInvalidOptions     = "invalid options"
	ReasonInvalidSubID       = "invalid subid"
	ReasonInvalidMessageType = "invalid message type"
	ReasonDuplicateLogon     = "duplicate logon attempt"
	ReasonLogonRequired      = "logon required"

	ReasonPublishGap       = "publish gap"        // R4
	ReasonUnknown          = "outcome unknown"    // R1: nobody can say what has become of a message that is sent again
	ReasonDiskFull         = "disk full"          // R7, for now: the session ends, nothing is rejected
	ReasonNotReplicated    = "not replicated"     // R3, with success
	ReasonBookmarkNotFound = "bookmark not found" // R9
	ReasonClosed           = "publisher closed"   // R10: nothing of these comes any more up to where bm names them
	ReasonDiverged         = "publisher diverged" // R11: nothing of this life is taken any more, bm names its first number that is not proven equal
	ReasonIncarnation      = "incarnation"        // R10: the client has seen a later one of the group, or the group has one
	ReasonOtherPublisher   = "publisher id taken" // R10: of another publisher, perhaps under another name

	ReasonVectorIncomplete = "vector in parts is incomplete"             // R9
	ReasonVectorTooLong    = "vector in parts names too many publishers" // R9
)
