package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeCommands are what can be done with stores.
type storeCommands struct {
	Inspect storeInspect `cmd:"" help:"Say what a store keeps, and what would be replayed."`
	Verify  storeVerify  `cmd:"" help:"Check that a store can be opened as it is; the exit code says so."`
}

const pathHelp = "Directory of a file store, or database file with publish stores or bookmark stores in it."

// storeInspect is "store inspect".
type storeInspect struct {
	Path     string `arg:"" help:"${store_path}"`
	Messages bool   `help:"List the messages of publish stores, in the order in which they would be sent."`
}

// Run implements the command.
func (c *storeInspect) Run(o *output) error {
	stores, err := look(c.Path, c.Messages)
	if err != nil {
		return err
	}
	for _, s := range stores {
		s.print(o)
	}
	return verdict(o, stores, false)
}

// storeVerify is "store verify".
type storeVerify struct {
	Path string `arg:"" help:"${store_path}"`
}

// Run implements the command.
func (c *storeVerify) Run(o *output) error {
	stores, err := look(c.Path, false)
	if err != nil {
		return err
	}
	return verdict(o, stores, true)
}

// verdict tells what is wrong with stores, and what is well if that is wanted.
func verdict(o *output, stores []store, all bool) (err error) {
	for _, s := range stores {
		damage, remedy := s.damage()
		for _, d := range damage {
			o.printf("damage: %v\n", d)
		}
		switch {
		case len(damage) > 0:
			o.printf("%s: DAMAGED; %s\n", s.name(), remedy)
			err = errFound
		case all:
			o.printf("%s: sound\n", s.name())
		}
	}
	return err
}

// A store is one that was found.
type store interface {
	name() string // where it is and what it is
	print(o *output)
	damage() (damage []error, remedy string)
}

// look finds the stores at path: what kind they are shows itself.
func look(path string, messages bool) ([]store, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, usagef("%s does not exist", path)
	case err != nil:
		return nil, explain(path, err)
	case info.IsDir():
		s, err := lookIntoFile(path, messages)
		return []store{s}, err
	case !info.Mode().IsRegular():
		return nil, usagef("%s is neither a directory nor a file", path)
	case info.Size() == 0:
		return nil, usagef("%s is empty", path)
	}
	return lookIntoBolt(path, messages)
}

// lookIntoFile reads the file store in a directory.
func lookIntoFile(dir string, messages bool) (*publishStore, error) {
	s := &publishStore{where: dir, kind: "file publish store"}
	var err error
	s.found, err = pubstore.InspectFile(dir, pubstore.FileOptions{}, s.collect(messages))
	if errors.Is(err, pubstore.ErrNotStore) {
		if _, err := journal.Inspect(seglog.ReadOnly, dir, nil); err == nil {
			if names, _ := seglog.ReadOnly.ReadDir(dir); slices.ContainsFunc(names, isSegment) {
				return s, usagef("%s is the journal of an instance: see holdfast journal verify", dir)
			}
		}
		return s, usagef("%s holds no publish store", dir)
	}
	return s, explain(dir, err)
}

func isSegment(name string) bool { return len(name) == 20 && name[16:] == ".log" }

// lookIntoBolt reads every store in a database.
func lookIntoBolt(path string, messages bool) (stores []store, err error) {
	// bbolt trusts its pages, and may panic where they are damaged.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			stores, err = nil, &exitError{exitFound, fmt.Errorf("%s: the database is damaged: %v; put back a copy", path, r)}
		}
	}()
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: 250 * time.Millisecond})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, inUse(path)
	case errors.Is(err, bbolterrors.ErrInvalid):
		return nil, usagef("%s is neither a directory nor a database (bbolt): of a file store name the directory", path)
	case errors.Is(err, os.ErrPermission):
		return nil, explain(path, err)
	case err != nil:
		return nil, &exitError{exitFound, fmt.Errorf("%s: the database can't be opened: %w", path, err)}
	}
	defer db.Close()
	if err := checkPages(db); err != nil {
		return nil, &exitError{exitFound, fmt.Errorf("%s: the database is damaged: %w; put back a copy", path, err)}
	}
	return storesIn(db, messages)
}

// storesIn reads the stores in an open database.
func storesIn(db *bbolt.DB, messages bool) (stores []store, err error) {
	var buckets []string
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			buckets = append(buckets, string(name))
			return nil
		})
	})
	for _, bucket := range buckets {
		if err == nil {
			stores, err = appendStore(stores, db, bucket, messages)
		}
	}
	if err == nil && len(stores) == 0 {
		err = usagef("%s holds no store: %s of something else", db.Path(), plural(len(buckets), "bucket"))
	}
	return stores, err
}

// appendStore appends the store that a bucket holds, if it does.
func appendStore(stores []store, db *bbolt.DB, bucket string, messages bool) ([]store, error) {
	p := &publishStore{where: fmt.Sprintf("%s, bucket %s", db.Path(), plain(bucket)), kind: "bolt publish store"}
	found, err := pubstore.InspectBolt(db, bucket, pubstore.BoltOptions{}, p.collect(messages))
	if err == nil {
		p.found = found
		return append(stores, p), nil
	}
	if !errors.Is(err, pubstore.ErrNotStore) {
		return stores, err
	}
	b := &bookmarkStore{where: p.where}
	b.subscriptions, b.err = bookmarkstore.InspectBolt(db, bucket)
	if errors.Is(b.err, bookmarkstore.ErrNotStore) {
		return stores, nil
	}
	return append(stores, b), nil
}

// A publishStore is one that was found.
type publishStore struct {
	where, kind string
	found       pubstore.Inspection
	messages    map[string][]kept // by life, if they are wanted
}

// A kept is a message to list.
type kept struct {
	sequence uint64
	time     time.Time
	topic    string
	size     int
}

// collect returns what takes the messages, nil if they are not wanted.
func (s *publishStore) collect(wanted bool) func(string, *pubstore.Message) error {
	if !wanted {
		return nil
	}
	s.messages = make(map[string][]kept)
	return func(life string, m *pubstore.Message) error {
		s.messages[life] = append(s.messages[life], kept{m.Sequence, m.Time, m.Topic, len(m.Body)})
		return nil
	}
}

func (s *publishStore) name() string { return s.where + ": " + s.kind }

func (s *publishStore) damage() ([]error, string) {
	remedy := "put back a copy, or the application opens it with AcceptDamage, which gives up what can't be read"
	if s.kind != "file publish store" {
		remedy = "put back a copy"
	}
	return s.found.Damage, remedy
}

func (s *publishStore) print(o *output) {
	f := &s.found
	owner := "of client " + plain(f.Name)
	if f.Name == "" {
		owner = "that no client has used yet"
	}
	end := "closed in good order"
	if !f.Closed {
		end = "not closed: its process died, or it is a copy of one in use"
	}
	o.printf("%s %s, %s, %s\n", s.name(), owner, plural(int(f.Counter), "logon"), end)
	kept := 0
	for _, life := range f.Lives {
		s.printLife(o, life)
		kept += life.Kept
	}
	if f.Torn > 0 {
		o.printf("  opening it cuts off a torn end of %d bytes\n", f.Torn)
	}
	if f.Renews {
		o.printf("  opening it begins a new life: it was not closed, and the machine has started anew since\n")
	}
	o.printf("  to be sent by the next client that opens it: %s, less what the server says it has\n", plural(kept, "message"))
}

func (s *publishStore) printLife(o *output, life pubstore.InspectedLife) {
	o.printf("  life %s, publisher %d: given out up to %d, safe up to %d, ", life.ID, bookmark.Hash(life.ID), life.Last, life.Acked)
	if life.Kept == 0 {
		o.printf("keeps nothing\n")
		return
	}
	o.printf("keeps %s from %d on, %d bytes\n", plural(life.Kept, "message"), life.First, life.Bytes)
	messages := s.messages[life.ID]
	slices.SortFunc(messages, func(a, b kept) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, m := range messages {
		o.printf("    %8d  %s  %7d B  %s\n", m.sequence, m.time.UTC().Format(timeForm), m.size, plain(m.topic))
	}
}

// A bookmarkStore is one that was found.
type bookmarkStore struct {
	where         string
	subscriptions []bookmarkstore.Inspected
	err           error // it can't be opened
}

func (s *bookmarkStore) name() string { return s.where + ": bookmark store" }

func (s *bookmarkStore) damage() (damage []error, remedy string) {
	if s.err != nil {
		damage = append(damage, s.err)
	}
	for _, sub := range s.subscriptions {
		if sub.Damage != nil {
			damage = append(damage, sub.Damage)
		}
	}
	return damage, "put back a copy, or see the documentation of bookmarkstore.DamagedError"
}

func (s *bookmarkStore) print(o *output) {
	o.printf("%s, %s\n", s.name(), plural(len(s.subscriptions), "subscription"))
	for _, sub := range s.subscriptions {
		if sub.Damage != nil {
			o.printf("  %s: damaged\n", plain(sub.ID))
			continue
		}
		o.printf("  %s, topic %s", plain(sub.ID), plain(sub.Query.Topic))
		if sub.Query.Filter != "" {
			o.printf(", filter %s", plain(sub.Query.Filter))
		}
		if !sub.Known {
			o.printf(": begins where it is told to\n")
			continue
		}
		o.printf(": goes on behind %v\n", sub.Discarded)
		if n := len(sub.OutOfOrder); n > 0 {
			o.printf("    done with already, and left out then: %s from %v to %v\n", plural(n, "message"), sub.OutOfOrder[0], sub.OutOfOrder[n-1])
		}
	}
}
