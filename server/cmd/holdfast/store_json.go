// # Looking
//
// status, journal verify and compare, store inspect, verify and repair print one
// JSON object on one line with --json; ping one for each server, journal dump and
// store export one for each record. The names of their fields stay, new ones may come. Publisher ids are
// strings: they have 64 bits, more than a JSON number holds everywhere. What went
// wrong before there was anything to print stands on standard error, as text.
//
//	status
//	{
//	 "time": "…", "well": false,
//	 "problems": [{"kind": "link_down", "instance": "a", "text": "the link to b is down: …"}],
//	                               // kinds: unreachable, stopping, not_ready, catching_up, damage, single, link_down,
//	                               // link_catching_up, downgraded, given_up, diverged, same_instance, no_pair
//	 "instances": [                // as they were named
//	  {"address": "127.0.0.1:8085", "status": {…}},     // as GET /status says it, with all sessions: server.Status
//	  {"address": "127.0.0.1:8086", "error": "…"}       // it does not answer
//	 ],
//	 "publishers": {               // with two instances
//	  "compared": 12, "differing": 1, "complete": true, "error": "",
//	  "list": [{"publisher": "…", "client": "…", "instances": [{"have": 5, "durable": 5, "safe": 5, "floor": 0, …}, null]}]
//	 }
//	}
//
//	ping
//	{"server": "tcp://127.0.0.1:9007/amps/json", "up": true, "error": "…", "logon_ms": 0.4, "round_trip_ms": 0.1, "version": "…",
//	 "extended": true, "instance": "a", "sync": "sync", "peers": ["b"], "carried": ["^orders$"],
//	 "catching_up": false, "max_message": 16777216}
//	                               // sync: as client.SyncState says it; carried: absent if all topics are
//
//	journal verify
//	{"journal": "data/a", "sound": true, "segments": 1, "bytes": 67108864, "first": 0, "end": 4096, "durable": 4096,
//	 "cluster": "…", "intact": true, "records": 7, "messages": 6, "torn": {"file": "…", "offset": 1, "bytes": 2},
//	 "damage": [{"file": "…", "offset": 1, "position": 2, "reason": "bad record"}], "aside": {…},
//	 "faults": ["…"], "faulty": 0, "publishers": [{"publisher": "…", "have": 3, "floor": 0}]}
//
//	journal compare
//	{"same": false, "journals": [{"journal": "data/a", "sound": true, "records": 7, "publishers": 2}, {…}],
//	 "elsewhere": 0, "floors": [{"publisher": "…", "floor": 3}], "differing": 1,
//	 "list": [{"publisher": "…", "what": "2 is only in data/a", "records": [{…}, null], "only": [2, 0], "content": 0}]}
//
//	journal dump
//	{"position": 88, "time": "…", "publisher": "…", "sequence": 1, "prev": 0, "kind": "message", "topic": "orders",
//	 "size": 5, "crc": "f0ec3ea5", "reason": "…", "body": "…"}    // or "body_base64", where that is not UTF-8
//
//	store inspect, store verify
//	{"sound": true, "stores": [
//	 {"path": "out.db", "bucket": "publish", "kind": "publish", "format": "bolt", "sound": true, "damage": [],
//	  "publish": {"client": "gateway", "logons": 1, "closed": true, "torn_bytes": 0, "renews": false, "to_send": 1,
//	   "input": {"name": "lines.txt", "topic": "orders", "lines": 3},    // of a run of holdfast publish that has not ended
//	   "lives": [{"publisher": "…", "given_out": 3, "safe": 1, "kept": 1, "first": 2, "bytes": 13,
//	              "missing": [{"from": 4, "to": 6}], "messages": [{"sequence": 2, "time": "…", "topic": "orders", "size": 7}]}]}},
//	 {"path": "marks.db", "bucket": "bookmarks", "kind": "bookmark", "format": "bolt", "sound": true, "damage": [],
//	  "subscriptions": [{"subscription": "orders", "topic": "orders", "known": true, "resume": "7|2|", "done": ["7|4|"], "damage": ""}]}
//	], "file": {"bytes": 32768, "live": 12288, "free_pages": 3, "sparse": false}}    // of store inspect of a database
//
//	store export of a publish store, in the order in which they would be sent
//	{"publisher": "…", "sequence": 2, "prev": 1, "time": "…", "topic": "orders", "delta": true,
//	 "sow_key": "…", "correlation_id": "…", "expiration_s": 5, "body": "…"}     // or "body_base64"
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
// What is empty or false in these may be left out where it is rare.
//
// # Repairing
//
// store repair says what it would do, and does it with --yes. What was there
// stays beside it, byte for byte, under a name with the time in it; nothing is
// ever deleted. In its place stands a store with all that could be read, which
// the application opens as before. A message of a publish store that can't be
// read is given up; a new life begins, so that no number is given out twice, and
// what else is kept of the old one is sent as it was. If one instance had the
// message, it keeps it, and hands it to its peer; only if the two are cut off from
// each other at that time, and the publisher goes on with the one that lacks it,
// they end up different, and say so (DIVERGED). So repair while the pair is in
// sync. Of a bookmark store, messages whose notes can't be read come again.
package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A storesReport is what store inspect and store verify print with --json.
type storesReport struct {
	Sound  bool           `json:"sound"` // all of them
	Stores []*storeReport `json:"stores"`
	File   *fileReport    `json:"file,omitempty"` // of store inspect of a database
}

// A fileReport is how much of a database file is in use.
type fileReport struct {
	Bytes     int64 `json:"bytes"`
	Live      int64 `json:"live"`       // bytes of the pages with data
	FreePages int64 `json:"free_pages"` // used again; the file does not shrink
	Sparse    bool  `json:"sparse"`     // so large that a store compacts a file of its own when it is opened
}

// A storeReport is a store that was found.
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
	Input     *inputReport `json:"input,omitempty"`
}

// An inputReport is how far holdfast publish has read its input, in a run that has not ended.
type inputReport struct {
	Name  string `json:"name"`
	Topic string `json:"topic"`
	Lines int64  `json:"lines"`
}

// A lifeReport is one life of a publish store.
type lifeReport struct {
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
func writeStores(o *output, stores []*storeReport, file *fileReport) error {
	sound := !slices.ContainsFunc(stores, func(s *storeReport) bool { return !s.Sound })
	return o.report(true, sound, storesReport{sound, stores, file}, nil)
}

// home is where a store is.
func (s *storeReport) home() string {
	if s.Bucket == "" {
		return s.Path
	}
	return fmt.Sprintf("%s, bucket %s", s.Path, plain(s.Bucket))
}

// name is where a store is and what it is.
func (s *storeReport) name() string {
	if s.Publish == nil {
		return s.home() + ": bookmark store"
	}
	return fmt.Sprintf("%s: %s publish store", s.home(), s.Format)
}

// keptMessages are messages to list, by the life they are of.
type keptMessages map[string][]messageReport

// collect returns what takes the messages, nil if they are not wanted.
func (k keptMessages) collect(wanted bool) func(string, *pubstore.Message) error {
	if !wanted {
		return nil
	}
	return func(life string, m *pubstore.Message) error {
		k[life] = append(k[life], messageReport{m.Sequence, m.Time.UTC().Format(timeForm), m.Topic, len(m.Body)})
		return nil
	}
}

// publishStoreOf reports a publish store in a bucket, or in a directory if that is
// empty. The input is that of a run of holdfast publish.
func publishStoreOf(path, bucket string, found *pubstore.Inspection, messages keptMessages, input keptExtent) *storeReport {
	p := &publishReport{Client: found.Name, Logons: found.Counter, Closed: found.Closed, TornBytes: found.Torn, Renews: found.Renews, Lives: []lifeReport{}}
	if input.Version > 0 && !input.Done {
		p.Input = &inputReport{input.Input, input.Topic, input.Lines}
	}
	for _, l := range found.Lives {
		p.ToSend += l.Kept
		kept := messages[l.ID] // in the order in which they would be sent:
		slices.SortFunc(kept, func(a, b messageReport) int { return cmp.Compare(a.Sequence, b.Sequence) })
		p.Lives = append(p.Lives, lifeReport{Publisher: bookmark.OfLife(l.ID).ID, GivenOut: l.Last, Safe: l.Acked, Kept: l.Kept, First: l.First, Bytes: l.Bytes,
			Missing: append([]pubstore.Range{}, l.Missing...), Messages: kept})
	}
	format := "bolt"
	if bucket == "" {
		format = "file"
	}
	return &storeReport{Path: path, Bucket: bucket, Kind: "publish", Format: format, Sound: len(found.Damage) == 0, Damage: mapped(found.Damage, error.Error), Publish: p}
}

// bookmarkStoreOf reports a bookmark store, which can't be opened if there is an error.
func bookmarkStoreOf(path, bucket string, subscriptions []bookmarkstore.Inspected, err error) *storeReport {
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

func subscriptionOf(s *bookmarkstore.Inspected) subscriptionReport {
	r := subscriptionReport{Subscription: s.ID, Topic: s.Query.Topic, Filter: s.Query.Filter, Known: s.Known, Done: mapped(s.OutOfOrder, bookmarkstore.Bookmark.String)}
	if s.Known {
		r.Resume = s.Discarded.String()
	}
	if s.Damage != nil {
		r.Damage = s.Damage.Error()
	}
	return r
}
