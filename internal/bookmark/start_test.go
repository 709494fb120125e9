package bookmark_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

func TestParseStart(t *testing.T) {
	seven := []bookmark.Bookmark{{Publisher: 7, Sequence: 43}}
	jan2 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		text string
		want bookmark.Start
	}{
		{"0", bookmark.Start{Kind: bookmark.Epoch}},
		{"0|1|", bookmark.Start{Kind: bookmark.Now}},
		{"0|1", bookmark.Start{Kind: bookmark.Now}},
		{"7|43|", bookmark.Start{Kind: bookmark.List, List: seven}},
		{" 7|43| , 8|1|", bookmark.Start{Kind: bookmark.List, List: append(seven[:1:1], bookmark.Bookmark{Publisher: 8, Sequence: 1})}},
		{"20260102T030405", bookmark.Start{Kind: bookmark.Timestamp, Time: jan2}},
		{"20260102T030405Z", bookmark.Start{Kind: bookmark.Timestamp, Time: jan2}},
		{"20260102T030405.678901Z", bookmark.Start{Kind: bookmark.Timestamp, Time: jan2.Add(678901 * time.Microsecond)}},
		{"20260103T030405Z,20260102T030405Z", bookmark.Start{Kind: bookmark.Timestamp, Time: jan2}},
		{"20260102T030405Z,7|43|,20260103T030405Z", bookmark.Start{Kind: bookmark.List, List: seven, Time: jan2}},
		{"00010101T000000", bookmark.Start{Kind: bookmark.Timestamp, Time: time.Unix(0, 0).UTC()}},
		{"7|43|,0", bookmark.Start{Kind: bookmark.Epoch}},
		{"7|43|,0|1|", bookmark.Start{Kind: bookmark.List, List: seven}},
	} {
		got, err := bookmark.ParseStart([]byte(tt.text))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseStart(%q) = %+v, %v, want %+v", tt.text, got, err, tt.want)
		}
		again, err := bookmark.ParseStart(got.AppendText(nil))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q written as %v, parsed again as %+v, %v", tt.text, got, again, err)
		}
	}
}

func TestParseStartRefuses(t *testing.T) {
	for _, text := range []string{"", ",", "7|1|,", "recent", "1", "00", "20260102T", "0,recent"} {
		_, err := bookmark.ParseStart([]byte(text))
		if err == nil {
			t.Errorf("ParseStart(%q) returns no error", text)
		}
		checkSyntaxError(t, err, text)
	}
	for _, text := range []string{"(0:7|1|]", "[20200604T000000:20200605T000000)", "["} {
		if _, err := bookmark.ParseStart([]byte(text)); !errors.Is(err, bookmark.ErrRange) {
			t.Errorf("ParseStart(%q) = %v, want ErrRange", text, err)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "20260102", "20260102T0304", "20260102T030405+01", "20260102T030405.", "20260102T030405.Z", "20260102T030405.1x",
		"20261302T030405", "20260002T030405", "20260230T030405", "20260100T030405", "20260102T240405", "20260102T036005",
		"20260102T030460", "2026-102T030405", "20260102t030405", "20260102T030405ZZ",
	} {
		if got, err := bookmark.ParseTime([]byte(text)); err == nil {
			t.Errorf("ParseTime(%q) = %v", text, got)
		}
	}
}

func FuzzParseStart(f *testing.F) {
	for _, text := range []string{"0", "0|1|", "7|43|,8|1|", "20260102T030405.678901Z,7|43|", "[0:1|1|)"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s bookmark.Start
		var err error
		heap.Bounded(t, len(text), 64, 4<<10, func() { s, err = bookmark.ParseStart(text) })
		if err != nil {
			if !errors.Is(err, bookmark.ErrRange) {
				checkSyntaxError(t, err, string(text))
			}
			return
		}
		s.Time = s.Time.Truncate(time.Microsecond) // the text has no higher precision
		if again, err := bookmark.ParseStart(s.AppendText(nil)); err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%q parsed as %+v, again as %+v, %v", text, s, again, err)
		}
	})
}
