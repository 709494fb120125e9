package clientcore

import (
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// start returns the bookmark and the options of a subscribe, of the first one and of later ones.
// They depend on the request, on the received vector, and on whether the server supports vectors
// (R9). A server with vectors is asked to skip removed messages only after a search at other
// instances. A plain server gets an option for unknown bookmarks only if the application asks
// for it.
func (r *Request) start(to *Server, acceptsGaps bool, have Received) (bm, options string) {
	ext := !to.Plain
	if !have.Known || failpoint.On(failpoint.R9NowAgain) && r.Start == bookmark.NowText {
		return r.Start, r.options(ext, r.notFoundOption(to, r.Start))
	}
	bm = have.Vector.String()
	notFound := r.notFoundOption(to, bm) // a server with vectors fails by default
	if ext && r.AcceptGaps && acceptsGaps {
		notFound = "bookmark_not_found=epoch"
	}
	if ext && bm == bookmark.EpochText && !failpoint.On(failpoint.R9ResumeIsEpoch) {
		bm = bookmark.ResumeText
	}
	return bm, r.options(ext, notFound)
}

// options returns the options of a subscribe. notFound is the option bookmark_not_found, or
// empty.
func (r *Request) options(ext bool, notFound string) string {
	var o []string
	if ext {
		o = append(o, "vector")
	}
	if notFound != "" {
		o = append(o, notFound)
	}
	if r.FullyDurable {
		o = append(o, "fully_durable")
	}
	if r.Timestamps {
		o = append(o, "timestamp")
	}
	return strings.Join(o, ",")
}
