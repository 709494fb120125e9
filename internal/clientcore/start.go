package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// start returns the bookmark and the options of a subscribe, the first or a later
// one. They depend on the request, on the received vector, and on whether the
// server supports vectors (R9). Such a server is told to skip what it has removed
// only once other instances have been asked for it; one without is told what to do
// about unknown bookmarks only if the application asks for that.
func (r *Request) start(to *Server, skips bool, have Received) (bm, options string) {
	ext := !to.Plain
	resumed := have.Known && !(mut.On(mut.R9NowAgain) && r.Start == bookmark.NowText)
	switch {
	case !resumed:
		return r.Start, r.options(ext, r.notFound(to, r.Start))
	case ext && r.Gaps && skips:
		options = r.options(ext, "bookmark_not_found=epoch")
	default: // with vector the server's default is to fail
		options = r.options(ext, r.notFound(to, have.Vector.String()))
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
