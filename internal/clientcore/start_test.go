package clientcore

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestStart(t *testing.T) {
	v := bookmark.Vector{7: 3, 2: 9}
	for _, tt := range []struct {
		name        string
		ext         bool
		acceptsGaps bool
		r           Request
		have        Received
		bm, opt     string
	}{
		{"epoch", true, false, Request{Start: bookmark.EpochText}, Received{}, "0", "vector"},
		{"now", true, false, Request{Start: bookmark.NowText}, Received{}, "0|1|", "vector"},
		{"now, nothing received yet", true, false, Request{Start: bookmark.NowText}, Received{Known: true, Vector: v}, "2|9|,7|3|", "vector"},
		{"now on an empty log", true, false, Request{Start: bookmark.NowText}, Received{Known: true}, "0|0|", "vector"},
		{"resumed with gaps accepted, no search yet", true, false, Request{AcceptGaps: true}, Received{Known: true, Vector: v}, "2|9|,7|3|", "vector"},
		{"resumed with gaps accepted, after a search", true, true, Request{AcceptGaps: true}, Received{Known: true, Vector: v}, "2|9|,7|3|", "vector,bookmark_not_found=epoch"},
		{"no gaps at the first start", true, false, Request{Start: bookmark.EpochText, AcceptGaps: true}, Received{}, "0", "vector"},
		{"fully durable, with timestamps", true, false, Request{Start: bookmark.NowText, FullyDurable: true, Timestamps: true}, Received{}, "0|1|", "vector,fully_durable,timestamp"},
		{"plain, first", false, false, Request{Start: bookmark.NowText}, Received{}, "0|1|", ""},
		{"plain, resumed", false, false, Request{}, Received{Known: true, Vector: v}, "2|9|,7|3|", ""},
		{"plain, resumed, gaps accepted", false, false, Request{AcceptGaps: true}, Received{Known: true, Vector: v}, "2|9|,7|3|", ""},
		{"plain, resumed, asked to fail", false, false, Request{NotFound: "fail"}, Received{Known: true, Vector: v}, "2|9|,7|3|", "bookmark_not_found=fail"},
		{"plain, after bookmarks", false, false, Request{NotFound: "epoch", Start: "2|9|"}, Received{}, "2|9|", "bookmark_not_found=epoch"},
		{"plain, now, no bookmark to find", false, false, Request{NotFound: "epoch", Start: bookmark.NowText}, Received{}, "0|1|", ""},
		{"with vectors, the option is left out", true, false, Request{NotFound: "now"}, Received{Known: true, Vector: v}, "2|9|,7|3|", "vector"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if bm, opt := tt.r.start(&Server{Plain: !tt.ext, SupportsNotFound: !tt.ext}, tt.acceptsGaps, tt.have); bm != tt.bm || opt != tt.opt {
				t.Errorf("%q, %q; want %q, %q", bm, opt, tt.bm, tt.opt)
			}
		})
	}
}
