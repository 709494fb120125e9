package server

import (
	"testing"
	"time"
)

// A subscription that is further behind at each check has a line, one that comes nearer has none.
// The line repeats every hour, and has an end once the subscription has caught up.
func TestSlowWatch(t *testing.T) {
	var w slowWatch
	now := time.Duration(0)
	check := func(state string, records uint64, age time.Duration) (line string) {
		now += slowCheck
		all := []SubscriptionStatus{{Client: "c", ID: "1", State: state, RecordsBehind: records, BehindMS: age.Milliseconds()}}
		if state == "gone" {
			all = nil
		}
		for _, l := range w.check(all, now) {
			if line = "slow"; l.caughtUp {
				line = "caught up"
			}
		}
		return line
	}
	for i, c := range []struct {
		state   string
		records uint64
		age     time.Duration
		want    string
	}{
		{"behind", 9000, time.Hour, ""}, // a replay
		{"behind", 7000, time.Hour, ""},
		{"behind", 5000, time.Hour, ""},
		{"behind", 100, time.Second, ""},
		{"behind", 200, 10 * time.Second, ""},
		{"behind", 300, 20 * time.Second, ""},
		{"behind", 400, 30 * time.Second, "slow"},
		{"behind", 500, 40 * time.Second, ""},
		{"behind", 100, 20 * time.Second, ""},
		{"behind", 10, time.Second, "caught up"},
		{"held_back", 100, 30 * time.Second, ""},
		{"held_back", 200, 40 * time.Second, ""},
		{"held_back", 300, 50 * time.Second, ""},
		{"held_back", 400, time.Minute, ""},
		{"live", 0, 0, ""},
		{"behind", 100, 20 * time.Second, ""},
		{"behind", 200, 30 * time.Second, ""},
		{"behind", 300, 40 * time.Second, "slow"},
		{"live", 0, 0, "caught up"},
		{"behind", 100, 20 * time.Second, ""},
		{"behind", 200, 30 * time.Second, ""},
		{"behind", 300, 40 * time.Second, "slow"},
		{"gone", 0, 0, ""}, // another line tells of that
		{"live", 0, 0, ""},
	} {
		if got := check(c.state, c.records, c.age); got != c.want {
			t.Errorf("check %d: %q, want %q", i, got, c.want)
		}
	}
	lines := 0
	for records := range uint64(720) { // two hours
		if check("behind", 1000+records, time.Hour) != "" {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d lines in two hours, want 2", lines)
	}
}
