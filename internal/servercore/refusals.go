package servercore

import (
	"slices"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A RefusalKind says what was refused.
type RefusalKind uint8

const (
	RefusedPublish   RefusalKind = iota // a message
	RefusedLogon                        // a logon
	RefusedSubscribe                    // a subscribe
	RefusedCommand                      // another command
	RefusedSession                      // a session that had logged on was ended, with this reason
	refusalKinds
)

var refusalKindTexts = [refusalKinds]string{"publish", "logon", "subscribe", "command", "session"}

func (k RefusalKind) String() string { return refusalKindTexts[k] }

// otherReason stands for the reasons that are not counted by themselves.
const otherReason = "other"

// refusalReasons are the reasons that are counted by themselves. Their number bounds the series of
// a monitor. The last one of each kind is otherReason.
var refusalReasons = [refusalKinds][]string{
	RefusedPublish: {
		wire.ReasonInvalidTopic, wire.ReasonNoTopic, wire.ReasonNotEntitled, wire.ReasonOutcomeUnknown,
		reasonTooLarge, reasonDiffers, reasonElsewhere, reasonNoName, otherReason,
	},
	RefusedLogon: {
		wire.ReasonAuthFailure, wire.ReasonNotEntitled, wire.ReasonNameInUse, wire.ReasonPublisherIDTaken,
		wire.ReasonIncarnation, wire.ReasonTooManySessions, wire.ReasonLogonRequired, wire.ReasonInvalidMessageType,
		wire.ReasonInvalidOptions, otherReason,
	},
	RefusedSubscribe: {
		wire.ReasonBadRegexTopic, wire.ReasonInvalidTopic, wire.ReasonNoTopic, wire.ReasonNotEntitled,
		wire.ReasonSubIDInUse, wire.ReasonInvalidBookmark, wire.ReasonInvalidOptions, wire.ReasonBookmarkNotFound, otherReason,
	},
	RefusedCommand: {otherReason},
	RefusedSession: {
		wire.ReasonPublishGap, wire.ReasonDiskFull, wire.ReasonNameInUse, wire.ReasonPublisherIDTaken,
		wire.ReasonPublisherDiverged, wire.ReasonOtherOwner, wire.ReasonPermissionsDiffer,
		wire.ReasonTooManyPublishers, wire.ReasonNotEntitled, wire.ReasonAuthFailure, otherReason,
	},
}

// maxReasons is at least the number of reasons of one kind.
const maxReasons = 12

// RefusalCounts count refusals by kind and reason. They are safe for concurrent use.
type RefusalCounts [refusalKinds][maxReasons]atomic.Uint64

func (c *RefusalCounts) add(kind RefusalKind, reason string) {
	reasons := refusalReasons[kind]
	i := slices.Index(reasons, reason)
	if i < 0 {
		i = len(reasons) - 1
	}
	c[kind][i].Add(1)
}

// Each calls f for each kind and reason, also for those with a count of 0.
func (c *RefusalCounts) Each(f func(kind RefusalKind, reason string, count uint64)) {
	for kind, reasons := range refusalReasons {
		for i, reason := range reasons {
			f(RefusalKind(kind), reason, c[kind][i].Load())
		}
	}
}
