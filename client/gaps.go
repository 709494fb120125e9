package client

import (
	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

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
