package plain

import "github.com/holdfast-mq/holdfast/internal/wire"

// A Version is a release of the server. Options follow its documentation. How
// acks look is documented for no release; the double gives each of the ways that
// are possible to one of them, so that all are met.
type Version struct {
	Text     string // in the logon ack
	NotFound bool   // it knows the option bookmark_not_found

	greeting     string // reason of a logon that is accepted
	missingStart string // where a list begins of which it knows no bookmark
	duplicate    answer // of a message that it has
	notEntitled  answer // of one that the publisher has no permission for
	namesCommand bool   // a refusal of a message that it can't read has the command id
	markID       bool   // persisted acks of a subscription have the command id
}

// An answer is an ack with a number, if it has a reason or a status.
type answer struct {
	success bool
	reason  string
}

// The versions.
var (
	V52 = Version{
		Text: "5.2.1.17.717892.e742467", greeting: wire.ReasonAuthDisabled, missingStart: "epoch",
		duplicate:   answer{success: true}, // by the watermark
		notEntitled: answer{success: true, reason: wire.ReasonNotEntitled},
	}
	V534 = Version{
		Text: "5.3.4.0", missingStart: "epoch",
		duplicate:   answer{reason: wire.ReasonDuplicate},
		notEntitled: answer{reason: wire.ReasonNotEntitled},
	}
	V535 = Version{
		Text: "5.3.5.0", NotFound: true, missingStart: "now",
		duplicate:    answer{success: true, reason: wire.ReasonDuplicate},
		notEntitled:  answer{reason: wire.ReasonNotEntitled},
		namesCommand: true, markID: true,
	}
)

// Versions are all of them.
var Versions = []Version{V52, V534, V535}

// options are those of a subscribe that every version knows.
var options = map[string]bool{
	"none": true, "replace": true, "bookmark": true, "live": true, "fully_durable": true, "timestamp": true, "no_sowkey": true,
}

// missingBookmark returns the start for a list without a known bookmark, and false if
// this version does not know all options.
func (v *Version) missingBookmark(opts []byte) (lost string, ok bool) {
	lost = v.missingStart
	for name, value := range wire.Options(opts) {
		switch {
		case string(name) == "bookmark_not_found" && v.NotFound:
			lost = string(value)
		case !options[string(name)]:
			return "", false
		}
	}
	return lost, true
}
