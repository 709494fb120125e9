package client

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDNSChooser(t *testing.T) {
	if _, err := NewDNS("unix://x:0/amps?path=/y", nil); err == nil {
		t.Error("a unix socket has no host to look up")
	}
	answers := [][]string{nil, {"10.0.0.1", "10.0.0.2"}, nil, {"10.0.0.3"}, {"10.0.0.3"}, {"10.0.0.3"}}
	made, err := NewDNS("tcps://joe:pw@amps.example:9007/amps/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*dnsChooser)
	asked := 0
	c.lookup = func(_ context.Context, host string) ([]string, error) {
		if host != "amps.example" {
			t.Errorf("looked up %q", host)
		}
		asked++
		if a := answers[asked-1]; a != nil {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
	if _, err := c.Next(t.Context(), Outcome{}); err == nil {
		t.Error("a choice without an address")
	}
	var got []string
	failed := Outcome{Server: "x", Err: ErrTimeout}
	for range 5 {
		choice, err := c.Next(t.Context(), failed)
		if err != nil {
			t.Fatal(err)
		}
		if choice.TLSName != "amps.example" {
			t.Errorf("certificate for %q", choice.TLSName)
		}
		got = append(got, choice.Server)
	}
	uri := func(n string) string { return "tcps://joe:pw@10.0.0." + n + ":9007/amps/json" }
	if want := []string{uri("1"), uri("2"), uri("1"), uri("2"), uri("3")}; !slices.Equal(got, want) {
		t.Errorf("chosen %v, want %v", got, want)
	}
}

// If a resolver does not answer, the client still tries the addresses that it knows.
func TestDNSChooserWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, err := NewDNS("tcp://amps.example:9007/amps/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		c := made.(*dnsChooser)
		c.lookup = func(context.Context, string) ([]string, error) { return []string{"10.0.0.1"}, nil }
		if _, err := c.Next(t.Context(), Outcome{}); err != nil {
			t.Fatal(err)
		}
		c.lookup = func(ctx context.Context, _ string) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() }
		began := time.Now()
		choice, err := c.Next(t.Context(), Outcome{Server: "x", Err: ErrTimeout})
		if err != nil || choice.Server != "tcp://10.0.0.1:9007/amps/json" || time.Since(began) != lookupTimeout {
			t.Errorf("%+v, %v after %v", choice, err, time.Since(began))
		}
	})
}

func TestPriorityChooser(t *testing.T) {
	c := NewPriority(FailBackAtOnce(), "a", "b", "c")
	next := func(o Outcome) Choice {
		choice, err := c.Next(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return choice
	}
	if got := next(Outcome{}); got.Server != "a" || len(got.Preferred) != 0 {
		t.Errorf("%+v", got)
	}
	if got := next(Outcome{Server: "a", Err: ErrTimeout}); got.Server != "b" || !slices.Equal(got.Preferred, []string{"a"}) || got.ProbeInterval != time.Second {
		t.Errorf("%+v", got)
	}
	if got := next(Outcome{Server: "b", Planned: true, Uptime: time.Hour}); got.Server != "a" || got.Delay != 0 {
		t.Errorf("%+v", got)
	}
	// The preferred server refuses the client: it is tried less often.
	if got := next(Outcome{Server: "a", Err: ErrPublishGap}); got.Server != "b" || got.ProbeInterval != 2*time.Second {
		t.Errorf("%+v", got)
	}
}
