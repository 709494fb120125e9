//go:build linux

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestReport(t *testing.T) {
	const text = `{"bench":"x","messages":9,"msgs_per_s":500000,"deliveries_per_s":4e6,
		"latency_us":{"p50":350,"p90":400,"p99":700,"p999":900,"max":1200},"failover_ms":{"ack":2010,"delivery":8}}`
	var r report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]sample{
		"publish":  {published: 500_000},
		"latency":  {p50: 0.35, p99: 0.7},
		"replay":   {published: 500_000},
		"fanout":   {published: 500_000, deliveries: 4_000_000},
		"failover": {nextAck: 2010, nextMessage: 8, lost: 0, duplicated: 0},
	} {
		if got := r.sample(kind); !maps.Equal(got, want) {
			t.Errorf("sample(%s) = %v, want %v", kind, got, want)
		}
	}
}

// The measured command is built from the checkout that contains this module.
func TestCheckout(t *testing.T) {
	for _, file := range []string{"go.mod", "server/cmd/holdfast/main.go"} {
		if _, err := os.Stat(filepath.Join(checkout, file)); err != nil {
			t.Error(err)
		}
	}
}
