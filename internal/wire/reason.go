package wire

// The reasons of acks, as they are on the wire. The texts of the first group are those of the
// protocol. The texts of the second group are not documented; these are likely ones. The others
// are our extensions.
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

	ReasonPublishGap        = "publish gap"                     // R4
	ReasonOutcomeUnknown    = "outcome unknown"                 // R1: the outcome of a message that is sent again cannot be known
	ReasonDiskFull          = "disk full"                       // R7: a temporary state; the session ends, and no message is rejected
	ReasonNotReplicated     = "not replicated"                  // R3, with success
	ReasonBookmarkNotFound  = "bookmark not found"              // R9
	ReasonPublisherClosed   = "publisher closed"                // R10: the publishers in bm send nothing more up to their sequences there
	ReasonPublisherDiverged = "publisher diverged"              // R11: the life is refused for good; bm has its first sequence that is not proven equal
	ReasonIncarnation       = "incarnation"                     // R10: the client or the group has met a later incarnation
	ReasonPublisherIDTaken  = "publisher id taken"              // R10: another publisher has this id, perhaps under another name
	ReasonPermissionsDiffer = "permissions differ"              // R14: not entitled here, but a peer has other permissions or has just gone away; a temporary state
	ReasonTooManySessions   = "too many sessions of the user"   // a limit of the user
	ReasonTooManyPublishers = "too many publishers of the user" // a limit of the user
	ReasonTLSRequired       = "TLS required: use tcps"          // for a client without TLS at a port with TLS; the session ends
	ReasonOtherOwner        = "publisher of another user"       // R14: the publisher belongs to another user
	// ReasonUserGone ends a session that has authenticated, never a logon: a stranger must not learn
	// which users there were.
	ReasonUserGone = ReasonAuthFailure + ": the user may not log on any more"

	ReasonVectorIncomplete = "vector in parts is incomplete"             // R9
	ReasonVectorTooLong    = "vector in parts names too many publishers" // R9
)
