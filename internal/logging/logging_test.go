package logging

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Durations and addresses are texts in JSON too, and errors stay errors for the handler.
func TestPlain(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(slog.NewJSONHandler(&out, nil))).With("since", 90*time.Minute)
	log.Info("x", "duration", 1500*time.Millisecond, "address", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9007},
		"error", errors.New("no"), "peers", []string{"a", "b"}, "missing", (*net.TCPAddr)(nil), "short", 1234567*time.Nanosecond, "user", "", "gone", nil)
	if strings.Contains(out.String(), "user") || strings.Contains(out.String(), "gone") {
		t.Errorf("empty values are in %s", out.String())
	}
	for _, want := range []string{`"since":"1h30m0s"`, `"duration":"1.5s"`, `"address":"10.0.0.1:9007"`, `"error":"no"`, `"peers":["a","b"]`, `"missing":null`, `"short":"1ms"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}

func TestReminder(t *testing.T) {
	tellAll := func(begin func(*Reminder, time.Duration), until time.Duration) (told []time.Duration) {
		var r Reminder
		begin(&r, time.Minute)
		for now := time.Minute; now < until; now += time.Second {
			if r.Remind(now) {
				told = append(told, r.Since(now))
			}
		}
		return told
	}
	outage := []time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour}
	if got := tellAll((*Reminder).BeginOutage, 4*time.Hour); !slices.Equal(got, outage) {
		t.Errorf("an outage has reminders after %v, want %v", got, outage)
	}
	hourly := []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour}
	if got := tellAll((*Reminder).Begin, 4*time.Hour); !slices.Equal(got, hourly) {
		t.Errorf("a state has reminders after %v, want %v", got, hourly)
	}
	var r Reminder
	r.BeginOutage(0)
	if !r.Remind(5*time.Hour) || r.Remind(5*time.Hour) || r.End(6*time.Hour) != 6*time.Hour || r.Lasts() || r.End(7*time.Hour) != 0 {
		t.Error("late reminders come more than once, or the state does not end")
	}
}

func TestOutage(t *testing.T) {
	var o Outage
	if n, lasted := o.End(time.Second); n != 0 || lasted != 0 {
		t.Errorf("no outage has %d failures and lasted %v", n, lasted)
	}
	lines := 0
	for now := range time.Duration(3601) {
		if o.Fail(now * time.Second) {
			lines++
		}
	}
	if n, lasted := o.End(3601 * time.Second); lines != 5 || n != 3601 || lasted != 3601*time.Second {
		t.Errorf("an hour has %d lines; %d failures in %v", lines, n, lasted)
	}
}
