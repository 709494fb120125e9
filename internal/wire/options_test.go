package wire_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

func TestOptions(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		", ,":                       nil,
		"live,":                     {"live"},
		" oof , timestamp":          {"oof", "timestamp"},
		"rate=2X,rate_max_gap = 3s": {"rate=2X", "rate_max_gap=3s"},
		"a=,b":                      {"a=", "b"},
		"projection=[SUM(/a, 1) AS /b,/c],grouping=[/c]": {"projection=[SUM(/a, 1) AS /b,/c]", "grouping=[/c]"},
		"select=[-/,+/id]]]],x":                          {"select=[-/,+/id]]]]", "x"},
		"open=[a,b":                                      {"open=[a,b"},
	} {
		var got []string
		for name, value := range wire.Options([]byte(text)) {
			option := string(name)
			if value != nil {
				option += "=" + string(value)
			}
			got = append(got, option)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Options(%q) = %q, want %q", text, got, want)
		}
	}
	for name := range wire.Options([]byte("a,b")) {
		if string(name) == "b" {
			t.Error("continued after break")
		}
		break
	}
}

func TestParseInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"100ms": 100 * time.Millisecond, "3s": 3 * time.Second, "2": 2 * time.Second, "1.5M": 90 * time.Second,
		"7ns": 7, "7US": 7 * time.Microsecond, "1h": time.Hour, "1d": 24 * time.Hour, "1w": 168 * time.Hour, "0": 0,
	} {
		if got, err := wire.ParseInterval([]byte(text)); err != nil || got != want {
			t.Errorf("ParseInterval(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "-1s", "1x", "1..2s", "1 s", "99999999999999w", "1e3s"} {
		if got, err := wire.ParseInterval([]byte(text)); err == nil {
			t.Errorf("ParseInterval(%q) = %v", text, got)
		}
	}
}

func TestHeartbeatStart(t *testing.T) {
	for interval, want := range map[time.Duration]string{
		0: "start,1", time.Second: "start,1", 1500 * time.Millisecond: "start,2", 30 * time.Second: "start,30",
	} {
		if got := wire.HeartbeatStart(interval); got != want {
			t.Errorf("HeartbeatStart(%v) = %s, want %s", interval, got, want)
		}
	}
}

func TestGaps(t *testing.T) {
	gaps, err := wire.ParseGaps([]byte("7|1|9,18446744073709551615|2|2"))
	want := []wire.Gap{{Publisher: 7, From: 1, To: 9}, {Publisher: 1<<64 - 1, From: 2, To: 2}}
	if err != nil || !slices.Equal(gaps, want) {
		t.Errorf("ParseGaps = %v, %v, want %v", gaps, err, want)
	}
	if got := string(wire.AppendGaps(nil, gaps)); got != "7|1|9,18446744073709551615|2|2" {
		t.Errorf("AppendGaps = %s", got)
	}
	if gaps, err := wire.ParseGaps(nil); gaps != nil || err != nil {
		t.Errorf("ParseGaps of nothing = %v, %v", gaps, err)
	}
	for _, text := range []string{",", "7", "7|1", "7|1|", "7|1|9,", "7|9|1", "7|1|9223372036854775808", "7|9223372036854775808|9223372036854775808", "7|1|9|", "x|1|9"} {
		if gaps, err := wire.ParseGaps([]byte(text)); err == nil {
			t.Errorf("ParseGaps(%q) = %v", text, gaps)
		}
	}
}

func TestAckTypes(t *testing.T) {
	for a := range wire.AckType(64) {
		if got := wire.ParseAcks([]byte(a.String())); got != a {
			t.Errorf("%v read as %v", a, got)
		}
	}
	if got := fmt.Sprint(wire.AckStats | wire.AckPersisted | wire.AckCompleted); got != "completed,persisted,stats" {
		t.Errorf("written as %s", got)
	}
}
