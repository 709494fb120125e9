package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeExport is "store export".
type storeExport struct {
	Path      string `arg:"" help:"${store_path}"`
	Bucket    string `placeholder:"NAME" help:"Bucket of the store, for a database that holds several stores."`
	Publisher uint64 `placeholder:"ID" help:"Only messages of this publisher, that is of one life of a publish store (see store inspect)."`
	Topic     string `placeholder:"TOPIC" help:"Only messages or subscriptions of this topic."`
	Format    string `enum:"json,lines" default:"json" help:"json: one object per line. lines: for a publish store, one body per line, as holdfast publish reads them; for a bookmark store, subscription, topic, discarded vector and bookmarks discarded above it, separated by tabs."`
	Output    string `short:"o" type:"path" placeholder:"FILE" help:"Write to this file, which must not exist yet."`
}

// Run implements the command.
func (c *storeExport) Run(o *output) (err error) {
	found, err := c.chooseStore()
	if err != nil {
		return err
	}
	w := o.out
	if c.Output != "" {
		f, err := os.OpenFile(c.Output, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return usageErrorf("%s exists: remove it, or name another file", c.Output)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return usageErrorf("the directory of %s does not exist: create it, or name another file", c.Output)
		}
		if err != nil {
			return err
		}
		defer func() { err = closeOutput(f, err) }()
		w = f
	}
	if err := c.export(found, w); err != nil {
		return err
	}
	return printDamage(&output{o.err, o.err}, []*storeReport{found}, false)
}

// closeOutput syncs and closes an output file. It removes the file if it is not complete.
func closeOutput(f *os.File, err error) error {
	if err == nil || errors.Is(err, errFault) {
		if werr := errors.Join(f.Sync(), f.Close()); werr == nil {
			return err
		} else {
			err = werr
		}
	}
	_ = f.Close() // it may be closed already; err is the error that counts
	return errors.Join(err, os.Remove(f.Name()))
}

// chooseStore returns the store in the bucket --bucket, or without it the only store.
func (c *storeExport) chooseStore() (*storeReport, error) {
	stores, err := readStores(c.Path, false)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range stores {
		if c.Bucket != "" && s.Bucket == c.Bucket {
			return s, nil
		}
		if s.Bucket != "" {
			names = append(names, s.Bucket)
		}
	}
	switch {
	case c.Bucket != "" && len(names) == 0:
		return nil, usageErrorf("%s is a directory and has no buckets: omit --bucket", c.Path)
	case c.Bucket != "":
		return nil, usageErrorf("%s has no store in bucket %s, only in %s", c.Path, quoteIfNeeded(c.Bucket), quoteList(names))
	case len(stores) > 1:
		return nil, usageErrorf("%s holds several stores: choose one with --bucket (%s)", c.Path, quoteList(names))
	}
	return stores[0], nil
}

// export writes the messages or the places of a store.
func (c *storeExport) export(s *storeReport, to io.Writer) error {
	w := bufio.NewWriter(to)
	write := c.messages
	if s.Publish == nil {
		write = c.subscriptions
	}
	if err := write(s, w); err != nil {
		return err
	}
	return w.Flush()
}

// subscriptions writes the place of each subscription. It leaves out damaged ones, whose
// place is not known.
func (c *storeExport) subscriptions(s *storeReport, w *bufio.Writer) error {
	if c.Publisher != 0 {
		return usageErrorf("%s is a bookmark store, which has no publishers: omit --publisher", s.location())
	}
	for _, sub := range s.Subscriptions {
		if sub.Damage != "" || c.Topic != "" && sub.Topic != c.Topic {
			continue
		}
		if c.Format == "lines" {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", quoteIfNeeded(sub.Subscription), quoteIfNeeded(sub.Topic), sub.Resume, strings.Join(sub.Done, ""))
		} else if err := jsonEncoder(w).Encode(sub); err != nil {
			return err
		}
	}
	return nil
}

// An exportedMessage is a message as JSON. It has either body or body_base64.
type exportedMessage struct {
	Publisher uint64 `json:"publisher,string"`
	Sequence  uint64 `json:"sequence"`
	Prev      uint64 `json:"prev"` // sequence of its predecessor: lower than sequence-1 if messages between were rejected
	Time      string `json:"time"` // when it was published
	Topic     string `json:"topic"`
	Delta     bool   `json:"delta,omitempty"`
	SOWKey    string `json:"sow_key,omitempty"`
	jsonCorrelation
	jsonHeaders
	Expiration float64 `json:"expiration_s,omitempty"`
	Body       *string `json:"body,omitempty"`
	BodyBytes  []byte  `json:"body_base64,omitempty"` // the body if it is not UTF-8
}

func newExportedMessage(publisher uint64, m *pubstore.Message) exportedMessage {
	e := exportedMessage{
		Publisher: publisher, Sequence: m.Sequence, Prev: m.Prev, Time: m.Time.UTC().Format(timeLayout),
		Topic: m.Topic, Delta: m.Delta, SOWKey: m.SOWKey, Expiration: m.Expiration.Seconds(),
		jsonCorrelation: newJSONCorrelation(m.CorrelationID), jsonHeaders: newJSONHeaders(m.Headers),
	}
	e.Body, e.BodyBytes = jsonBody(m.Body)
	return e
}

// messages writes the messages, the oldest life first, each life in order. A first
// pass checks whether the store has them in that order. It nearly always has; then
// they need not all be in memory.
func (c *storeExport) messages(s *storeReport, w *bufio.Writer) error {
	plan := exportPlan{c: c, topics: make(map[string]bool), lives: make(map[uint64]int), sorted: true}
	var publishers []string
	for i, life := range s.Publish.Lives {
		plan.lives[life.Publisher] = i
		publishers = append(publishers, fmt.Sprint(life.Publisher))
	}
	if c.Publisher != 0 && !slices.Contains(publishers, fmt.Sprint(c.Publisher)) {
		return usageErrorf("%s has no publisher %d: it has %s", s.location(), c.Publisher, strings.Join(publishers, ", "))
	}
	if err := s.eachMessage(plan.visit); err != nil {
		return err
	}
	if err := plan.check(s.location()); err != nil {
		return err
	}
	write := func(publisher uint64, m *pubstore.Message) error { return plan.write(w, publisher, m) }
	if plan.sorted {
		return s.eachMessage(write)
	}
	var all []publisherMessage
	err := s.eachMessage(func(publisher uint64, m *pubstore.Message) error {
		m2 := *m
		m2.Body, m2.Headers = bytes.Clone(m.Body), m.Headers.Clone()
		all = append(all, publisherMessage{publisher, &m2})
		return nil
	})
	slices.SortFunc(all, func(a, b publisherMessage) int {
		return cmp.Or(cmp.Compare(plan.lives[a.publisher], plan.lives[b.publisher]), cmp.Compare(a.m.Sequence, b.m.Sequence))
	})
	for _, k := range all {
		if err == nil {
			err = write(k.publisher, k.m)
		}
	}
	return err
}

// A publisherMessage is a message with its publisher.
type publisherMessage struct {
	publisher uint64
	m         *pubstore.Message
}

// An exportPlan is the result of the first pass over the messages.
type exportPlan struct {
	c       *storeExport
	lives   map[uint64]int // order of the lives, by publisher
	topics  map[string]bool
	sorted  bool
	last    [2]uint64 // life and sequence of the last message
	newline uint64    // sequence of the first message with a line break in its body, 0: none
	headers uint64    // sequence of the first message with headers, 0: none
}

func (p *exportPlan) selects(publisher uint64, m *pubstore.Message) bool {
	return (p.c.Publisher == 0 || p.c.Publisher == publisher) && (p.c.Topic == "" || p.c.Topic == m.Topic)
}

func (p *exportPlan) visit(publisher uint64, m *pubstore.Message) error {
	at := [2]uint64{uint64(p.lives[publisher]), m.Sequence}
	p.sorted = p.sorted && slices.Compare(p.last[:], at[:]) < 0
	p.last = at
	if !p.selects(publisher, m) {
		return nil
	}
	p.topics[m.Topic] = true
	if p.newline == 0 && bytes.ContainsRune(m.Body, '\n') {
		p.newline = m.Sequence
	}
	if p.headers == 0 && m.Headers.Size() > 0 {
		p.headers = m.Sequence
	}
	return nil
}

// check returns an error if the messages cannot be written as lines.
func (p *exportPlan) check(home string) error {
	switch {
	case p.c.Format != "lines":
		return nil
	case len(p.topics) > 1:
		return usageErrorf("%s has messages of %d topics, which lines cannot distinguish: choose one with --topic (%s), or use --format json",
			home, len(p.topics), strings.Join(slices.Sorted(maps.Keys(p.topics)), ", "))
	case p.newline > 0:
		return usageErrorf("%s: message %d has a line break in its body and would become several lines: use --format json", home, p.newline)
	case p.headers > 0:
		return usageErrorf("%s: message %d has headers, which lines cannot hold: use --format json", home, p.headers)
	}
	return nil
}

func (p *exportPlan) write(w *bufio.Writer, publisher uint64, m *pubstore.Message) error {
	if !p.selects(publisher, m) {
		return nil
	}
	if p.c.Format == "json" {
		return jsonEncoder(w).Encode(newExportedMessage(publisher, m))
	}
	if _, err := w.Write(m.Body); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

// eachMessage calls do with every message in the store.
func (s *storeReport) eachMessage(do func(publisher uint64, m *pubstore.Message) error) error {
	each := func(life string, m *pubstore.Message) error { return do(bookmark.IdentityOfLife(life).ID, m) }
	if s.Format == "file" {
		_, err := pubstore.InspectFile(s.Path, pubstore.FileOptions{}, each)
		return withAdvice(s.Path, err)
	}
	return withBolt(s.Path, func(db *bbolt.DB) error {
		_, err := pubstore.InspectBolt(db, s.Bucket, pubstore.BoltOptions{}, each)
		return err
	})
}
