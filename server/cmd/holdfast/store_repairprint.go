package main

import (
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A repairReport is the result of store repair, or without --yes the plan.
type repairReport struct {
	Path   string           `json:"path"`
	Needed bool             `json:"needed"` // a store is damaged
	Done   bool             `json:"done"`   // it was repaired; always false without --yes
	Damage []string         `json:"damage"`
	Aside  string           `json:"aside,omitempty"` // path of the damaged store after the repair
	Lost   []lossReport     `json:"lost"`            // pages of a database that cannot be read, each with everything below it
	Stores []repairedReport `json:"stores"`          // the stores that change
}

// A lossReport is a lost page of a database.
type lossReport struct {
	Text   string `json:"text"`
	Offset int64  `json:"offset"` // in the file
}

// A repairedReport is one store that a repair changes.
type repairedReport struct {
	Bucket        string                 `json:"bucket,omitempty"`
	Kind          string                 `json:"kind"`                    // publish, bookmark
	Kept          int                    `json:"kept"`                    // number of kept messages or subscriptions
	NewLife       bool                   `json:"new_life,omitempty"`      // of a publish store: it begins a new life, so that no number is given out twice
	GivenUp       []givenUpReport        `json:"given_up,omitempty"`      // of a publish store
	Subscriptions []repairedSubscription `json:"subscriptions,omitempty"` // of a bookmark store: the damaged subscriptions
}

// A givenUpReport is the unreadable messages of one publisher, that is of one life of
// the store.
type givenUpReport struct {
	Publisher uint64           `json:"publisher,string"`
	Ranges    []pubstore.Range `json:"ranges"`
}

// A repairedSubscription is a subscription that was damaged.
type repairedSubscription struct {
	Subscription string `json:"subscription"`
	Dropped      int    `json:"dropped"`          // number of unreadable values; messages that they recorded as discarded come again
	Gone         bool   `json:"gone"`             // the place is lost: the subscribe decides where to begin
	Resume       string `json:"resume,omitempty"` // the vector where it resumes
}

// print shows the report to a person.
func (r *repairReport) print(o *output) {
	if !r.Needed {
		o.printf("%s is sound: there is nothing to repair\n", r.Path)
		return
	}
	for _, d := range r.Damage {
		o.printf("damage: %s\n", d)
	}
	for _, l := range r.Lost {
		o.printf("lost: %s\n", l.Text)
	}
	for i := range r.Stores {
		r.Stores[i].print(o)
	}
	if r.Done {
		o.printf("REPAIRED; the damaged store is in %s\n", r.Aside)
		return
	}
	o.printf("nothing was changed: --yes makes this repair and keeps the damaged store in %s\n", r.Aside)
}

func (r *repairedReport) print(o *output) {
	where := r.Kind + " store"
	if r.Bucket != "" {
		where = "bucket " + quoteIfNeeded(r.Bucket) + ", " + where
	}
	if r.Kind == "bookmark" {
		o.printf("%s: keeps %s\n", where, plural(r.Kept, "subscription"))
		for _, s := range r.Subscriptions {
			s.print(o)
		}
		return
	}
	for _, g := range r.GivenUp {
		for _, missing := range g.Ranges {
			o.printf("%s: gives up %s of publisher %d, which can't be read\n", where, rangeText(missing), g.Publisher)
		}
	}
	o.printf("%s: keeps %s, to be sent by the next client that opens it\n", where, plural(r.Kept, "message"))
	o.printf("%s: begins a new life, so that no number is given out twice\n", where)
}

func (s *repairedSubscription) print(o *output) {
	if s.Gone {
		o.printf("  %s: its place is lost, and it starts where the subscribe says; from EPOCH it misses nothing\n", quoteIfNeeded(s.Subscription))
		return
	}
	o.printf("  %s: %s can't be read, and the messages discarded there come again; resumes after %s\n", quoteIfNeeded(s.Subscription), plural(s.Dropped, "value"), s.Resume)
}
