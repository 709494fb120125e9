package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// start returns the bookmark and the options of a subscribe, the first or a later
// one. They depend on the request, on the received vector, and on whether the
// server supports vectors, which ext says (R9).
func (r *Request) start(ext bool, have Received) (bm, options string) {
	resumed := have.Known && !(mut.On(mut.R9NowAgain) && r.Start == bookmark.NowText)
	bm = r.Start
	if resumed {
		bm = have.Vector.String()
	}
	var o []string
	if ext {
		o = append(o, "vector")
	}
	switch {
	case resumed && r.Gaps:
		o = append(o, "bookmark_not_found=epoch")
	case resumed && !ext: // with vector this is the server's default
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
