// # JSON output
//
// With --json the commands status, journal verify and compare, and store inspect,
// verify and repair print one JSON object on one line. ping prints one for each
// answer, journal dump and store export one for each record. The names of the fields
// do not change; new fields may be added. Publisher ids are strings, since many JSON
// readers lose digits of 64-bit numbers. An error that leaves nothing to print goes
// to standard error, as text.
//
//	status
//	{
//	 "time": "…", "well": false, "state": "degraded",
//	 "problems": [{"kind": "link_down", "state": "degraded", "instance": "a", "text": "the link to b is down: …"}],
//	                               // states: ok, degraded (it passes by itself), unreachable, wrong
//	                               // kinds: unreachable, stopping, no_cluster, not_ready, catching_up, lacks, not_intact, damage,
//	                               // full, clock, set_apart, users, certificate, single, outdated, refusing, decree,
//	                               // link_down, link_catching_up, other_cluster, clocks_disagree, rivals, one_way, downgraded,
//	                               // given_up, diverged, same_instance, no_pair
//	 "instances": [                // in the order of the arguments
//	  {"address": "127.0.0.1:8085", "status": {…}},     // the answer to GET /status, with all sessions: server.Status
//	  {"address": "127.0.0.1:8086", "error": "…"}       // it does not answer
//	 ],
//	 "publishers": {               // with several instances only
//	  "compared": 12, "differing": 1, "complete": true, "error": "",
//	  "list": [{"publisher": "…", "client": "…", "instances": [{"have": 5, "durable": 5, "safe": 5, "floor": 0, "owner": "…", …}, null]}],
//	  "behind": [{"instance": "c", "messages": 3, "publishers": 1}]     // of asynchronous instances, which are not compared
//	 }
//	}
//
//	ping
//	{"server": "tcp://127.0.0.1:9007/amps/json", "up": true, "error": "…", "logon_ms": 0.4, "round_trip_ms": 0.1, "version": "…",
//	 "extended": true, "instance": "a", "sync": "sync", "peers": ["b"], "carried": ["^orders$"],
//	 "catching_up": false, "max_message": 16777216}
//	                               // sync: text of a client.SyncStatus; carried: absent if all topics are replicated
//
//	journal verify
//	{"journal": "data/a", "sound": true, "segments": 1, "bytes": 67108864, "first": 0, "end": 4096, "durable": 4096,
//	 "cluster": "…", "intact": true, "records": 7, "messages": 6, "torn": {"file": "…", "offset": 1, "bytes": 2},
//	 "damage": [{"file": "…", "offset": 1, "position": 2, "reason": "bad record"}], "aside": {…},
//	 "faults": ["…"], "faulty": 0, "publishers": [{"publisher": "…", "have": 3, "floor": 0, "owner": "…"}]}
//
//	journal compare
//	{"same": false, "journals": [{"journal": "data/a", "sound": true, "records": 7, "publishers": 2}, {…}],
//	 "elsewhere": 0, "floors": [{"publisher": "…", "floor": 3}], "differing": 1,
//	 "list": [{"publisher": "…", "what": "2 is only in data/a", "records": [{…}, null], "only": [2, 0], "content": 0}]}
//
//	journal dump
//	{"position": 88, "time": "…", "publisher": "…", "sequence": 1, "prev": 0, "kind": "message", "topic": "orders",
//	 "user": "…", "size": 5, "crc": "f0ec3ea5", "reason": "…", "body": "…",    // or "body_base64", if the body is not UTF-8
//	 "correlation_id": "…", "headers": {"tenant": "eu"}, "headers_base64": {"key": "…"}}    // as in store export
//
//	store inspect, store verify
//	{"sound": true, "stores": [
//	 {"path": "out.db", "bucket": "publish", "kind": "publish", "format": "bolt", "sound": true, "damage": [],
//	  "publish": {"client": "gateway", "logons": 1, "closed": true, "torn_bytes": 0, "renews": false, "to_send": 1,
//	   "input": {"name": "lines.txt", "topic": "orders", "lines": 3},    // with an interrupted run of holdfast publish
//	   "lives": [{"publisher": "…", "given_out": 3, "safe": 1, "kept": 1, "first": 2, "bytes": 13,
//	              "missing": [{"from": 4, "to": 6}], "messages": [{"sequence": 2, "time": "…", "topic": "orders", "size": 7}]}]}},
//	 {"path": "marks.db", "bucket": "bookmarks", "kind": "bookmark", "format": "bolt", "sound": true, "damage": [],
//	  "subscriptions": [{"subscription": "orders", "topic": "orders", "known": true, "resume": "7|2|", "done": ["7|4|"], "damage": ""}]}
//	], "file": {"bytes": 32768, "live": 12288, "free_pages": 3, "sparse": false}}    // with store inspect of a database
//
//	store export of a publish store, one message each, in the order in which they would be sent
//	{"publisher": "…", "sequence": 2, "prev": 1, "time": "…", "topic": "orders", "delta": true,
//	 "sow_key": "…", "correlation_id": "…", "expiration_s": 5, "headers": {"tenant": "eu"}, "body": "…"}
//	and, of values that are not UTF-8, "body_base64", "correlation_id_base64", "headers_base64": {"key": "…"}
//	store export of a bookmark store
//	{"subscription": "orders", "topic": "orders", "filter": "…", "known": true, "resume": "7|2|", "done": ["7|4|"]}
//
//	store repair
//	{"path": "out.db", "needed": true, "done": false, "damage": ["…"], "aside": "out.db.damaged-20260131T120000Z",
//	 "lost": [{"text": "bad page 4: …", "offset": 16384}],
//	 "stores": [{"bucket": "publish", "kind": "publish", "kept": 19, "new_life": true,
//	             "given_up": [{"publisher": "…", "ranges": [{"from": 7, "to": 7}]}]},
//	            {"bucket": "bookmarks", "kind": "bookmark", "kept": 2,
//	             "subscriptions": [{"subscription": "a", "dropped": 1, "gone": false, "resume": "7|10|"}]}]}
//
// Rare fields may be left out if they are empty or false.
//
// # Repairing
//
// store repair reports the repair that it would make; with --yes it makes it. The
// damaged store stays beside the new one, byte for byte, under a name that contains
// the time; nothing is ever deleted. The new store has everything that could be read
// and takes the path of the old one. The application opens it as before.
//
// A publish store gives up the messages that cannot be read. A new life begins, so
// that no number is given out twice. The readable messages of the old life are sent
// unchanged.
//
// An instance that has received a given-up message keeps it and sends it to its
// peer. The two instances can end up different in one case only: they are cut off
// from each other at that time, and the publisher continues with the instance that
// lacks the message. Both then log DIVERGED, and status reports it (set_apart).
// So repair a store while the pair is in sync.
//
// In a bookmark store, messages whose discards cannot be read come again.
package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A storesReport is the JSON output of store inspect and store verify.
type storesReport struct {
	Sound  bool           `json:"sound"` // all stores are sound
	Stores []*storeReport `json:"stores"`
	File   *fileReport    `json:"file,omitempty"` // with store inspect of a database only
}

// A fileReport is the space usage of a database file.
type fileReport struct {
	Bytes     int64 `json:"bytes"`
	Live      int64 `json:"live"`       // bytes of the pages with data
	FreePages int64 `json:"free_pages"` // will be used again; the file does not shrink
	Sparse    bool  `json:"sparse"`     // so sparse that a store with a file of its own compacts it at the next open
}

// A storeReport is a store that was found and its state.
type storeReport struct {
	Path          string               `json:"path"`
	Bucket        string               `json:"bucket,omitempty"` // in the database
	Kind          string               `json:"kind"`             // publish, bookmark
	Format        string               `json:"format"`           // file, bolt
	Sound         bool                 `json:"sound"`
	Damage        []string             `json:"damage"`                  // why it cannot be opened
	Publish       *publishReport       `json:"publish,omitempty"`       // of a publish store
	Subscriptions []subscriptionReport `json:"subscriptions,omitempty"` // of a bookmark store
}

// A publishReport is the content of a publish store.
type publishReport struct {
	Client    string       `json:"client"`     // empty: no client has used it yet
	Logons    uint64       `json:"logons"`     // number of logons so far
	Closed    bool         `json:"closed"`     // it was closed cleanly
	TornBytes int64        `json:"torn_bytes"` // length of the torn tail, which opening removes; no Publish returned for it
	Renews    bool         `json:"renews"`     // opening begins a new life
	ToSend    int          `json:"to_send"`    // number of kept messages of all lives
	Lives     []lifeReport `json:"lives"`      // oldest first
	Input     *inputReport `json:"input,omitempty"`
}

// An inputReport tells how far an interrupted run of holdfast publish has read its
// input.
type inputReport struct {
	Name  string `json:"name"`
	Topic string `json:"topic"`
	Lines int64  `json:"lines"`
}

// A lifeReport is one life of a publish store.
type lifeReport struct {
	Publisher uint64           `json:"publisher,string"`
	GivenOut  uint64           `json:"given_out"` // highest sequence
	Safe      uint64           `json:"safe"`      // highest sequence that the store let go as safe
	Kept      int              `json:"kept"`
	First     uint64           `json:"first"` // lowest kept sequence, 0: none is kept
	Bytes     int64            `json:"bytes"`
	Missing   []pubstore.Range `json:"missing"`            // messages that should be kept but cannot be read
	Messages  []messageReport  `json:"messages,omitempty"` // with --messages
}

// A messageReport is one kept message.
type messageReport struct {
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
	Topic    string `json:"topic"`
	Size     int    `json:"size"` // of the body
}

// A subscriptionReport is the place where one subscription would resume.
type subscriptionReport struct {
	Subscription string   `json:"subscription"`
	Topic        string   `json:"topic"`
	Filter       string   `json:"filter,omitempty"`
	Known        bool     `json:"known"`            // false: there is no place yet, and the subscribe decides where to begin
	Resume       string   `json:"resume,omitempty"` // the discarded vector: "publisher|sequence|,…"
	Done         []string `json:"done"`             // bookmarks of discarded messages above that vector
	Damage       string   `json:"damage,omitempty"` // why it cannot be opened; then nothing else is known
}

// writeStores prints stores as JSON. It returns errFault unless all are sound.
func writeStores(o *output, stores []*storeReport, file *fileReport) error {
	sound := !slices.ContainsFunc(stores, func(s *storeReport) bool { return !s.Sound })
	return o.report(true, sound, storesReport{sound, stores, file}, nil)
}

// location returns the path of a store, with its bucket if it has one.
func (s *storeReport) location() string {
	if s.Bucket == "" {
		return s.Path
	}
	return fmt.Sprintf("%s, bucket %s", s.Path, quoteIfNeeded(s.Bucket))
}

// name returns the path, the bucket and the kind of a store.
func (s *storeReport) name() string {
	if s.Publish == nil {
		return s.location() + ": bookmark store"
	}
	return fmt.Sprintf("%s: %s publish store", s.location(), s.Format)
}

// keptMessages are messages to list, by life.
type keptMessages map[string][]messageReport

// collect returns a function that adds messages to k, nil if they are not wanted.
func (k keptMessages) collect(wanted bool) func(string, *pubstore.Message) error {
	if !wanted {
		return nil
	}
	return func(life string, m *pubstore.Message) error {
		k[life] = append(k[life], messageReport{m.Sequence, m.Time.UTC().Format(timeLayout), m.Topic, len(m.Body)})
		return nil
	}
}

// publishStoreOf returns the report of a publish store. With an empty bucket it is a
// file store in a directory. input is the extent that holdfast publish keeps.
func publishStoreOf(path, bucket string, found *pubstore.Inspection, messages keptMessages, input storedExtent) *storeReport {
	p := &publishReport{Client: found.Name, Logons: found.Counter, Closed: found.Closed, TornBytes: found.Torn, Renews: found.Renews, Lives: []lifeReport{}}
	if input.Version > 0 && !input.Done {
		p.Input = &inputReport{input.Input, input.Topic, input.Lines}
	}
	for _, l := range found.Lives {
		p.ToSend += l.Kept
		kept := messages[l.ID] // sorted by sequence, the order of sending
		slices.SortFunc(kept, func(a, b messageReport) int { return cmp.Compare(a.Sequence, b.Sequence) })
		p.Lives = append(p.Lives, lifeReport{Publisher: bookmark.IdentityOfLife(l.ID).ID, GivenOut: l.Last, Safe: l.Acked, Kept: l.Kept, First: l.First, Bytes: l.Bytes,
			Missing: append([]pubstore.Range{}, l.Missing...), Messages: kept})
	}
	format := "bolt"
	if bucket == "" {
		format = "file"
	}
	return &storeReport{Path: path, Bucket: bucket, Kind: "publish", Format: format, Sound: len(found.Damage) == 0, Damage: mapSlice(found.Damage, error.Error), Publish: p}
}

// bookmarkStoreOf returns the report of a bookmark store. err says why it cannot be
// opened, nil if it can.
func bookmarkStoreOf(path, bucket string, subscriptions []bookmarkstore.InspectedSubscription, err error) *storeReport {
	r := &storeReport{Path: path, Bucket: bucket, Kind: "bookmark", Format: "bolt", Damage: []string{}}
	if err != nil {
		r.Damage = append(r.Damage, err.Error())
	}
	for i := range subscriptions {
		sub := subscriptionOf(&subscriptions[i])
		if sub.Damage != "" {
			r.Damage = append(r.Damage, sub.Damage)
		}
		r.Subscriptions = append(r.Subscriptions, sub)
	}
	r.Sound = len(r.Damage) == 0
	return r
}

func subscriptionOf(s *bookmarkstore.InspectedSubscription) subscriptionReport {
	r := subscriptionReport{Subscription: s.ID, Topic: s.Query.Topic, Filter: s.Query.Filter, Known: s.Known, Done: mapSlice(s.OutOfOrder, bookmarkstore.Bookmark.String)}
	if s.Known {
		r.Resume = s.Discarded.String()
	}
	if s.Damage != nil {
		r.Damage = s.Damage.Error()
	}
	return r
}
