package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// start returns the bookmark and the options of a subscribe, the first or a later
// one. They depend on the request, on the received vector, and on whether the
// server supports vectors, which ext says (R9). Such a server is told to skip what
// it has removed only once other instances have been asked for it.
func (r *Request) start(ext, skips bool, have Received) (bm, options string) {
	resumed := have.Known && !(mut.On(mut.R9NowAgain) && r.Start == bookmark.NowText)
	switch {
	case !resumed:
		return r.Start, r.options(ext, "")
	case r.Gaps && (skips || !ext):
		options = r.options(ext, "bookmark_not_found=epoch")
	case !ext: // with vector this is the server's default
		options = r.options(ext, "bookmark_not_found=fail")
	default:
		options = r.options(ext, "")
	}
	if bm = have.Vector.String(); ext && bm == bookmark.EpochText && !mut.On(mut.R9ResumeIsEpoch) {
		bm = bookmark.ResumeText
	}
	return bm, options
}

// options returns the options of a subscribe, with one for bookmarks that are not found.
func (r *Request) options(ext bool, notFound string) string {
	var o []string
	if ext {
		o = append(o, "vector")
	}
	if notFound != "" {
		o = append(o, notFound)
	}
	if r.Durable {
		o = append(o, "fully_durable")
	}
	if r.Times {
		o = append(o, "timestamp")
	}
	return strings.Join(o, ",")
}
