package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// The texts of the protocol for the starts that have no value of their own.
const (
	EpochText = "0"    // from the beginning
	NowText   = "0|1|" // from now on
)

// A Resumption is what is known when a subscription is put on the wire, for
// the first time or again. What to send follows from it alone (R9).
type Resumption struct {
	Ext     bool            // the server knows vectors
	Start   string          // what the application asked for; NowText, EpochText or positions
	Vector  bookmark.Vector // what the subscription has, if known
	Known   bool
	Heard   bool // a message has come
	Gaps    bool // the application accepts gaps
	Durable bool // fully_durable
	Times   bool // timestamp
}

// Request returns the bookmark and the options to subscribe with.
func (r Resumption) Request() (bm, options string) {
	resumed := r.Known
	if mut.On(mut.R9NowAgain) && r.Start == NowText && !r.Heard {
		resumed = false
	}
	bm = r.Start
	if resumed {
		bm = r.Vector.String()
	}
	var o []string
	if r.Ext {
		o = append(o, "vector")
	}
	switch {
	case resumed && r.Gaps:
		o = append(o, "bookmark_not_found=epoch")
	case resumed && !r.Ext: // with vector it is what the server does unless told otherwise
		o = append(o, "bookmark_not_found=fail")
	}
	if r.Durable {
		o = append(o, "fully_durable")
	}
	if r.Times {
		o = append(o, "timestamp")
	}
	return bm, strings.Join(o, ",")
}
