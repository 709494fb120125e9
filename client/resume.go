package client

import (
	"strings"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// The texts of the protocol for the starts that have no value of their own.
const (
	epochText = "0"
	nowText   = "0|1|"
)

// A resumption is what is known when a subscription is put on the wire, for
// the first time or again. What to send follows from it alone (R9).
type resumption struct {
	ext     bool                 // the server knows vectors
	start   string               // what the application asked for; nowText, epochText or positions
	vector  bookmarkstore.Vector // what the subscription has, if known
	known   bool
	heard   bool // a message has come
	gaps    bool // the application accepts gaps
	durable bool // fully_durable
	times   bool // timestamp
}

// request returns the bookmark and the options to subscribe with.
func (r resumption) request() (bm, options string) {
	resumed := r.known
	if mut.On(mut.R9NowAgain) && r.start == nowText && !r.heard {
		resumed = false
	}
	bm = r.start
	if resumed {
		bm = r.vector.String()
	}
	var o []string
	if r.ext {
		o = append(o, "vector")
	}
	switch {
	case resumed && r.gaps:
		o = append(o, "bookmark_not_found=epoch")
	case resumed && !r.ext: // with vector it is what the server does unless told otherwise
		o = append(o, "bookmark_not_found=fail")
	}
	if r.durable {
		o = append(o, "fully_durable")
	}
	if r.times {
		o = append(o, "timestamp")
	}
	return bm, strings.Join(o, ",")
}

// parseGaps parses the ranges of a gap.
func parseGaps(text []byte) ([]Gap, error) {
	list, err := wire.ParseGaps(text)
	gaps := make([]Gap, 0, len(list))
	for _, g := range list {
		gaps = append(gaps, Gap(g))
	}
	return gaps, err
}

// missedSince is the gap of a subscription that has received nothing, on a
// server whose log begins behind base.
func missedSince(base bookmarkstore.Vector) []Gap {
	var gaps []Gap
	for _, publisher := range base.Publishers() {
		gaps = append(gaps, Gap{Publisher: publisher, From: 1, To: base[publisher]})
	}
	return gaps
}

// gapVector is what counts as shown once the application has accepted gaps.
func gapVector(gaps []Gap) bookmarkstore.Vector {
	v := make(bookmarkstore.Vector, len(gaps))
	for _, g := range gaps {
		v[g.Publisher] = max(v[g.Publisher], g.To)
	}
	return v
}
