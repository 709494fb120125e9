package main

import (
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A repairReport is what store repair has done, or would do.
type repairReport struct {
	Path   string           `json:"path"`
	Needed bool             `json:"needed"` // something is damaged
	Done   bool             `json:"done"`   // and repaired; false without --yes
	Damage []string         `json:"damage"`
	Aside  string           `json:"aside,omitempty"` // where what is damaged is kept
	Lost   []lossReport     `json:"lost"`            // pages of a database that can't be read, and all that hung on them
	Stores []repairedReport `json:"stores"`          // those that are not as they were
}

// A lossReport is a page of a database.
type lossReport struct {
	Text   string `json:"text"`
	Offset int64  `json:"offset"` // in the file
}

// A repairedReport is one store.
type repairedReport struct {
	Bucket        string                 `json:"bucket,omitempty"`
	Kind          string                 `json:"kind"`                    // publish, bookmark
	Kept          int                    `json:"kept"`                    // messages, or subscriptions
	NewLife       bool                   `json:"new_life,omitempty"`      // of a publish store: no number is given out twice
	GivenUp       []givenUpReport        `json:"given_up,omitempty"`      // of a publish store
	Subscriptions []repairedSubscription `json:"subscriptions,omitempty"` // of a bookmark store: of which something can't be read
}

// A givenUpReport is what of one publisher, a life of the store, can't be read.
type givenUpReport struct {
	Publisher uint64           `json:"publisher,string"`
	Ranges    []pubstore.Range `json:"ranges"`
}

// A repairedSubscription is a subscription of which something can't be read.
type repairedSubscription struct {
	Subscription string `json:"subscription"`
	Dropped      int    `json:"dropped"`          // values; messages noted there as done come again
	Gone         bool   `json:"gone"`             // it begins as a new one, where it is told to
	Resume       string `json:"resume,omitempty"` // where it goes on
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
		o.printf("REPAIRED; what was there before is in %s\n", r.Aside)
		return
	}
	o.printf("nothing was changed: with --yes this is done, and what is there now is kept in %s\n", r.Aside)
}

func (r *repairedReport) print(o *output) {
	where := r.Kind + " store"
	if r.Bucket != "" {
		where = "bucket " + plain(r.Bucket) + ", " + where
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
		o.printf("  %s: nothing of it can be kept: it begins where it is told to; from EPOCH it misses nothing\n", plain(s.Subscription))
		return
	}
	o.printf("  %s: %s can't be read, and messages noted there as done come again: goes on behind %s\n", plain(s.Subscription), plural(s.Dropped, "value"), s.Resume)
}
