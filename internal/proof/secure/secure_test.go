package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// Any flaw, in any place, makes a drill fail.
func TestVerdict(t *testing.T) {
	kept := checker.Keys{"orders-1": {"0", "1", "2"}, "prices": {"0", "2"}}
	good := verdict{
		published: 6, kept: kept, told: map[string]map[string]int{"prices": {"1": 1}}, a: kept, b: kept, audit: kept,
		desk: checker.Keys{"orders-1": {"0", "1", "2"}, "prices": {"0"}}, restricted: map[string]int{"prices": 1}, steps: []stepResult{{"a step", time.Second, time.Second, "prices"}},
		limit: 2 * time.Second,
	}
	for _, tt := range []struct {
		name  string
		spoil func(*verdict)
		well  bool
	}{
		{"all there", func(*verdict) {}, true},
		{"lost on a", func(v *verdict) { v.a = checker.Keys{"orders-1": {"0", "2"}, "prices": {"0", "2"}} }, false},
		{"twice on b", func(v *verdict) { v.b = checker.Keys{"orders-1": {"0", "1", "1", "2"}, "prices": {"0", "2"}} }, false},
		{"delivered out of order", func(v *verdict) { v.audit = checker.Keys{"orders-1": {"0", "2", "1"}, "prices": {"0", "2"}} }, false},
		{"not delivered to the desk", func(v *verdict) { v.desk = checker.Keys{"orders-1": {"0", "1"}} }, false},
		{"delivered without a permission", func(v *verdict) { v.desk = kept }, false},
		{"rejected and there all the same", func(v *verdict) { v.b = checker.Keys{"orders-1": {"0", "1", "2"}, "prices": {"0", "1", "2"}} }, false},
		{"nothing rejected", func(v *verdict) { v.told = nil }, false},
		{"reported twice", func(v *verdict) { v.told = map[string]map[string]int{"prices": {"1": 2}} }, false},
		{"rejected with a permission", func(v *verdict) { v.told = map[string]map[string]int{"prices": {"1": 1}, "guest": {"1": 1}} }, false},
		{"another rejection", func(v *verdict) { v.faults = []error{errors.New("diverged")} }, false},
		{"too long without acks", func(v *verdict) { v.limit = time.Millisecond }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := good
			tt.spoil(&v)
			if passed := v.print(io.Discard); passed != tt.well {
				t.Errorf("all is well = %v, want %v", passed, tt.well)
			}
		})
	}
}

// The longest outage counts from before a step, and not while a publisher is left out.
func TestOutages(t *testing.T) {
	p := &publisher{app: &app{name: "p"}}
	var o outages
	start := time.Now()
	see := func(after time.Duration, settled int) { o.see(p, settled, true, start.Add(after)) }
	see(0, 1)
	o.begin()
	see(3*time.Second, 2)
	see(4*time.Second, 3)
	if d, who := o.longest(); d != 3*time.Second || who != "p" {
		t.Errorf("longest %v (%s)", d, who)
	}
	o.begin()
	see(4500*time.Millisecond, 4)
	if d, _ := o.longest(); d != 500*time.Millisecond {
		t.Errorf("longest of the second step: %v", d)
	}
	o.exclude(p, true)
	if d, _ := o.longest(); d != 0 {
		t.Errorf("longest of a publisher that is left out: %v", d)
	}
}

// A change of permissions replaces those of one user, and raises the version.
func TestWithRules(t *testing.T) {
	const text = `version: 7
users:
  - name: 'ann'
    cert: 'ann'
    publish: {allow: ['.*']}
    subscribe: {allow: ['.*']}
  - name: 'bob'
    publish: {allow: ['.*']}
`
	got, err := withRules(text, "ann", "    publish: {allow: ['^a/']}\n")
	want := `version: 8
users:
  - name: 'ann'
    cert: 'ann'
    publish: {allow: ['^a/']}
  - name: 'bob'
    publish: {allow: ['.*']}
`
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := withRules(text, "eve", ""); err == nil {
		t.Error("a user that is not there")
	}
}
