package transaction

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// wellReport is of two orders, of which the first was handed over again.
func goodReport() report {
	j := journal{
		orders:   []order{{"north-1", "north", "x", 5}, {"south-1", "south", "x", 7}},
		invoices: []invoice{{1, "north-1", Account{1, 5}}, {2, "south-1", Account{2, 12}}},
	}
	return report{
		published:   checker.Keys{"north": {"north-1"}, "south": {"south-1"}},
		journals:    [2]journal{j, {slices.Clone(j.orders), slices.Clone(j.invoices)}},
		accounts:    map[string]Account{"x": {2, 12}},
		lastInvoice: 2,
		app:         &application{handed: map[string]int{"north-1": 2, "south-1": 1}, expectedAgain: map[string][2]int{"north-1": {1, 0}}},
		deaths:      1, plannedDeaths: 1,
	}
}

// Any flaw, in any place, makes a run fail.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*report)
		well  bool
	}{
		{"all there", func(*report) {}, true},
		{"an order is lost on b", func(r *report) { r.journals[1].orders = r.journals[1].orders[:1] }, false},
		{"an invoice is lost on a", func(r *report) { r.journals[0].invoices = r.journals[0].invoices[:1] }, false},
		{"an invoice is there twice", func(r *report) {
			r.journals[1].invoices = append(r.journals[1].invoices, r.journals[1].invoices[1])
		}, false},
		{"invoices are out of order", func(r *report) { slices.Reverse(r.journals[1].invoices) }, false},
		{"an order was taken twice", func(r *report) {
			for i := range r.journals {
				r.journals[i].invoices = append(r.journals[i].invoices, invoice{3, "south-1", Account{3, 19}})
			}
			r.accounts["x"], r.lastInvoice = Account{3, 19}, 3
		}, false},
		{"an invoice has another account", func(r *report) { r.journals[0].invoices[1].Account.Total++ }, false},
		{"the database has another account", func(r *report) { r.accounts["x"] = Account{2, 13} }, false},
		{"the database has one more account", func(r *report) { r.accounts["y"] = Account{1, 1} }, false},
		{"a number was spent on nothing", func(r *report) { r.lastInvoice++ }, false},
		{"an order came again though it was done", func(r *report) { r.app.handed["south-1"]++ }, false},
		{"an order did not come again though it was not done", func(r *report) { r.app.handed["north-1"]-- }, false},
		{"an order may come again, and did", func(r *report) {
			r.app.expectedAgain["south-1"] = [2]int{0, 1}
			r.app.handed["south-1"]++
		}, true},
		{"the application had trouble", func(r *report) { r.app.unexpected = []string{"rejected"} }, false},
		{"nobody died", func(r *report) { r.deaths = 0 }, false},
		{"an instance was not killed", func(r *report) { r.plannedOutages = 1 }, false},
		{"nothing was published", func(r *report) { *r = report{app: new(application)} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := goodReport()
			tt.spoil(&r)
			if passed := r.print(io.Discard); passed != tt.well {
				t.Errorf("all is well = %v, want %v", passed, tt.well)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	for seed := range uint64(100) {
		rounds := 1 + int(seed%3)
		all := schedule(rand.New(rand.NewPCG(seed, 0)), rounds, 6)
		deaths, outages := make(map[step]int), 0
		for _, e := range all {
			deaths[e.step]++
			if len(e.outage.victims) > 0 {
				outages++
			}
			if again, err := parseDeath(e.death.String()); err != nil || again != e.death {
				t.Fatalf("death %q is read as %v, %v", e.death, again, err)
			}
		}
		if len(all) != rounds*deathsPerRound || deaths[outside] != rounds*outsideKillsPerRound || outages != 6 {
			t.Fatalf("seed %d: %d lives, %v, %d outages", seed, len(all), deaths, outages)
		}
		for _, s := range steps {
			if deaths[s] != rounds {
				t.Fatalf("seed %d: %d deaths at %s", seed, deaths[s], s)
			}
		}
	}
}

// A start that is interrupted, or whose instances end at once, ends with that.
func TestStartThatFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (App{}).play(ctx, t.TempDir(), []string{"sleep", "60"}, 1, nil, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := (App{}).play(t.Context(), t.TempDir(), []string{"go", "no-such-command"}, 1, nil, io.Discard); err == nil || !strings.Contains(err.Error(), "no-such-command: unknown command") {
		t.Errorf("instances end at once: %v", err)
	}
}
