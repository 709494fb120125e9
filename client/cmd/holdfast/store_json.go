package main

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// writeJSON prints one object on one line.
func writeJSON(o *output, v any) error {
	lines := json.NewEncoder(o.out)
	lines.SetEscapeHTML(false)
	return lines.Encode(v)
}

// A storesReport is what store inspect and store verify print with --json.
type storesReport struct {
	Sound  bool          `json:"sound"` // all of them
	Stores []storeReport `json:"stores"`
}

// A storeReport is one store.
type storeReport struct {
	Path          string               `json:"path"`
	Bucket        string               `json:"bucket,omitempty"` // in the database
	Kind          string               `json:"kind"`             // publish, bookmark
	Format        string               `json:"format"`           // file, bolt
	Sound         bool                 `json:"sound"`
	Damage        []string             `json:"damage"`                  // why it can't be opened
	Publish       *publishReport       `json:"publish,omitempty"`       // of a publish store
	Subscriptions []subscriptionReport `json:"subscriptions,omitempty"` // of a bookmark store
}

// A publishReport is what a publish store keeps.
type publishReport struct {
	Client    string       `json:"client"`     // empty: none has used it yet
	Logons    uint64       `json:"logons"`     // so far
	Closed    bool         `json:"closed"`     // in good order
	TornBytes int64        `json:"torn_bytes"` // that opening cuts off, of what was never promised
	Renews    bool         `json:"renews"`     // opening begins a new life
	ToSend    int          `json:"to_send"`    // messages kept, all lives together
	Lives     []lifeReport `json:"lives"`      // oldest first
}

// A lifeReport is one life of a publish store.
type lifeReport struct {
	Life      string           `json:"life"`
	Publisher uint64           `json:"publisher,string"`
	GivenOut  uint64           `json:"given_out"` // highest sequence
	Safe      uint64           `json:"safe"`      // highest sequence let go as persisted
	Kept      int              `json:"kept"`
	First     uint64           `json:"first"` // lowest sequence kept, 0: nothing is
	Bytes     int64            `json:"bytes"`
	Missing   []pubstore.Range `json:"missing"`            // should be kept, and can't be read
	Messages  []messageReport  `json:"messages,omitempty"` // with --messages
}

// A messageReport is one message that is kept.
type messageReport struct {
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
	Topic    string `json:"topic"`
	Size     int    `json:"size"` // of the body
}

// A subscriptionReport is where one subscription would go on.
type subscriptionReport struct {
	Subscription string   `json:"subscription"`
	Topic        string   `json:"topic"`
	Filter       string   `json:"filter,omitempty"`
	Known        bool     `json:"known"`            // false: it begins where it is told to
	Resume       string   `json:"resume,omitempty"` // everything of these publishers up to there is done with: "publisher|sequence|,…"
	Done         []string `json:"done"`             // above it, and done with already: bookmarks
	Damage       string   `json:"damage,omitempty"` // it can't be opened, and nothing else is known of it
}

// writeStores prints stores, and says by its error whether they are sound.
func writeStores(o *output, stores []store) error {
	all := storesReport{Sound: true, Stores: []storeReport{}}
	for _, s := range stores {
		report := s.report()
		all.Sound = all.Sound && report.Sound
		all.Stores = append(all.Stores, report)
	}
	if err := writeJSON(o, all); err != nil {
		return err
	}
	if !all.Sound {
		return errFound
	}
	return nil
}

// reportOf is the part that is the same for every store.
func reportOf(s store, h home, kind string) storeReport {
	damage, _ := s.damage()
	return storeReport{Path: h.path, Bucket: h.bucket, Kind: kind, Format: h.format, Sound: len(damage) == 0, Damage: texts(damage)}
}

func texts(errs []error) []string {
	all := []string{}
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func (s *publishStore) report() storeReport {
	f := &s.found
	p := &publishReport{Client: f.Name, Logons: f.Counter, Closed: f.Closed, TornBytes: f.Torn, Renews: f.Renews, Lives: []lifeReport{}}
	for _, l := range f.Lives {
		p.ToSend += l.Kept
		life := lifeReport{Life: l.ID, Publisher: bookmark.Hash(l.ID), GivenOut: l.Last, Safe: l.Acked, Kept: l.Kept, First: l.First, Bytes: l.Bytes, Missing: l.Missing}
		if life.Missing == nil {
			life.Missing = []pubstore.Range{}
		}
		for _, m := range s.sorted(l.ID) {
			life.Messages = append(life.Messages, messageReport{m.sequence, m.time.UTC().Format(timeForm), m.topic, m.size})
		}
		p.Lives = append(p.Lives, life)
	}
	r := reportOf(s, s.home, "publish")
	r.Publish = p
	return r
}

// sorted returns the messages of a life in the order in which they would be sent.
func (s *publishStore) sorted(life string) []kept {
	messages := s.messages[life]
	slices.SortFunc(messages, func(a, b kept) int { return cmp.Compare(a.sequence, b.sequence) })
	return messages
}

func (s *bookmarkStore) report() storeReport {
	r := reportOf(s, s.home, "bookmark")
	r.Subscriptions = []subscriptionReport{}
	for i := range s.subscriptions {
		r.Subscriptions = append(r.Subscriptions, subscriptionOf(&s.subscriptions[i]))
	}
	return r
}

func subscriptionOf(s *bookmarkstore.Inspected) subscriptionReport {
	r := subscriptionReport{Subscription: s.ID, Topic: s.Query.Topic, Filter: s.Query.Filter, Known: s.Known, Done: []string{}}
	if s.Known {
		r.Resume = s.Discarded.String()
	}
	for _, b := range s.OutOfOrder {
		r.Done = append(r.Done, b.String())
	}
	if s.Damage != nil {
		r.Damage = s.Damage.Error()
	}
	return r
}
