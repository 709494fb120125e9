package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// The texts of the protocol for the starts that have no value of their own.
const (
	EpochText = "0"    // from the beginning
	NowText   = "0|1|" // from now on
)

// resume returns the bookmark and the options of a subscribe, the first or a
// later one. They depend on the request and on the received vector alone (R9).
// ext says that the server supports vectors.
func (r *Request) resume(ext bool, have Received) (bm, options string) {
	resumed := have.Known && !(mut.On(mut.R9NowAgain) && r.Start == NowText)
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
