package bookmark_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestTimes(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(-1, 12, 25, 0, 0, 0, 0, time.UTC)
	for at := start; at.Year() < 10001; at = at.Add(17*day + 3*time.Hour + 59*time.Minute + 123457*time.Microsecond) {
		got := string(bookmark.AppendTime(nil, at))
		want := at.Format("20060102T150405.000000Z")
		switch {
		case at.Year() < 0:
			want = "00000101T000000.000000Z"
		case at.Year() > 9999:
			want = "99991231T235959.999999Z"
		}
		if got != want {
			t.Fatalf("%v written as %s, want %s", at, got, want)
		}
		if back, err := bookmark.ParseTime([]byte(got)); err != nil || back.UnixMicro() != at.UnixMicro() && at.Year() >= 0 && at.Year() <= 9999 {
			t.Fatalf("%s parsed as %v, %v", got, back, err)
		}
	}
}
