package clientcore

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestRequest(t *testing.T) {
	v := bookmark.Vector{7: 3, 2: 9}
	for _, tt := range []struct {
		name    string
		r       Resumption
		bm, opt string
	}{
		{"epoch", Resumption{Ext: true, Start: EpochText}, "0", "vector"},
		{"now", Resumption{Ext: true, Start: NowText}, "0|1|", "vector"},
		{"now, nothing received yet", Resumption{Ext: true, Start: NowText, Known: true, Vector: v}, "2|9|,7|3|", "vector"},
		{"now on an empty log", Resumption{Ext: true, Start: NowText, Known: true}, "0", "vector"},
		{"resumed with gaps accepted", Resumption{Ext: true, Known: true, Vector: v, Gaps: true}, "2|9|,7|3|", "vector,bookmark_not_found=epoch"},
		{"gaps cannot be at the first start", Resumption{Ext: true, Start: EpochText, Gaps: true}, "0", "vector"},
		{"durable, with times", Resumption{Ext: true, Start: NowText, Durable: true, Times: true}, "0|1|", "vector,fully_durable,timestamp"},
		{"plain, first", Resumption{Start: NowText}, "0|1|", ""},
		{"plain, resumed", Resumption{Known: true, Vector: v}, "2|9|,7|3|", "bookmark_not_found=fail"},
		{"plain, resumed, gaps accepted", Resumption{Known: true, Vector: v, Gaps: true}, "2|9|,7|3|", "bookmark_not_found=epoch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if bm, opt := tt.r.Request(); bm != tt.bm || opt != tt.opt {
				t.Errorf("Request = %q, %q; want %q, %q", bm, opt, tt.bm, tt.opt)
			}
		})
	}
}
