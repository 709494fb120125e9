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
	if !have.Known || mut.On(mut.R9NowAgain) && r.Start == bookmark.NowText {
		return r.Start, r.options(ext, r.notFound(to, r.Start))
	}
	bm = have.Vector.String()
	notFound := r.notFound(to, bm) // with vector the server's default is to fail
	if ext && r.Gaps && skips {
		notFound = "bookmark_not_found=epoch"
	}
	if ext && bm == bookmark.EpochText && !mut.On(mut.R9ResumeIsEpoch) {
		bm = bookmark.ResumeText
	}
	return bm, r.options(ext, notFound)
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
