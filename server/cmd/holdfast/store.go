package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeCommands are what can be done with stores.
type storeCommands struct {
	Inspect storeInspect `cmd:"" help:"Say what a store keeps: what would be replayed, or where each subscription would resume."`
	Verify  storeVerify  `cmd:"" help:"Check that a store can be opened as it is; the exit code says so."`
	Export  storeExport  `cmd:"" help:"Print the messages that would be replayed, or where each subscription would resume, for other programs."`
	Repair  storeRepair  `cmd:"" help:"Make a damaged store one that can be opened, with all that can be read; the damaged one is kept."`
}

const pathHelp = "Directory of a file store, or database file with publish stores or bookmark stores in it."

// storeInspect is "store inspect".
type storeInspect struct {
	Path     string `arg:"" help:"${store_path}"`
	Messages bool   `help:"List the messages of publish stores, in the order in which they would be sent."`
	JSON     bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *storeInspect) Run(o *output) error {
	stores, err := look(c.Path, c.Messages)
	if err != nil {
		return err
	}
	file, err := usageOf(c.Path)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeStores(o, stores, file)
	}
	for _, s := range stores {
		s.print(o)
	}
	if file != nil {
		file.print(o, c.Path)
	}
	return verdict(o, stores, false)
}

// storeVerify is "store verify".
type storeVerify struct {
	Path string `arg:"" help:"${store_path}"`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *storeVerify) Run(o *output) error {
	stores, err := look(c.Path, false)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeStores(o, stores, nil)
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
	report() storeReport
}

// A home is where a store is.
type home struct {
	path   string
	bucket string // in the database; empty: a directory
	format string // file, bolt
}

func (h home) String() string {
	if h.bucket == "" {
		return h.path
	}
	return fmt.Sprintf("%s, bucket %s", h.path, plain(h.bucket))
}

// look finds the stores at path: what kind they are shows itself.
func look(path string, messages bool) ([]store, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, usagef("%s does not exist", path)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, usagef("%s does not exist: what stands before its last / is a file, which may be the database; name that", path)
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
	s := &publishStore{home: home{path: dir, format: "file"}}
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
	err = withBolt(path, func(db *bbolt.DB) error {
		stores, err = storesIn(db, messages)
		return err
	})
	return stores, err
}

// usageOf returns how much of a database file is in use, nil for a directory.
func usageOf(path string) (file *fileReport, err error) {
	if isDirectory(path) {
		return nil, nil
	}
	err = withBolt(path, func(db *bbolt.DB) error {
		usage, err := boltfile.UsageOf(db)
		file = &fileReport{Bytes: usage.Size, Live: usage.Live, FreePages: usage.Free, Sparse: usage.Sparse()}
		return err
	})
	return file, err
}

func (f *fileReport) print(o *output, path string) {
	o.printf("%s: %d bytes, %d of them in pages with data; %s\n", path, f.Bytes, f.Live, plural(int(f.FreePages), "free page"))
	if f.Sparse {
		o.printf("  a backlog left it so large; a store's own file is compacted when it is opened next, for an application's see pubstore.OpenBoltIn\n")
	}
}

// withBolt does something with a database, which it opens for reading.
func withBolt(path string, do func(*bbolt.DB) error) error {
	db, err := boltfile.OpenReadOnly(path, &bbolt.Options{Timeout: 250 * time.Millisecond})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return inUse(path)
	case errors.Is(err, bbolterrors.ErrInvalid):
		return usagef("%s is neither a directory nor a database (bbolt): of a file store name the directory", path)
	case errors.Is(err, os.ErrPermission):
		return explain(path, err)
	case err != nil:
		return damagedBolt(err)
	}
	defer db.Close()
	return damagedBolt(boltfile.Guard(path, func() error { return do(db) }))
}

// damagedBolt says what to do about a database that is damaged.
func damagedBolt(err error) error {
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &exitError{exitFound, fmt.Errorf("%w; see holdfast store repair, or put back a copy", d)}
	}
	return err
}

// storesIn reads the stores in an open database, of which there must be one.
func storesIn(db *bbolt.DB, messages bool) ([]store, error) {
	stores, buckets, err := findStores(db, messages)
	if err == nil && len(stores) == 0 {
		err = usagef("%s holds no store: %s of something else", db.Path(), plural(buckets, "bucket"))
	}
	return stores, err
}

// findStores reads the stores in an open database, and counts its buckets.
func findStores(db *bbolt.DB, messages bool) (stores []store, buckets int, err error) {
	var names []string
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			names = append(names, string(name))
			return nil
		})
	})
	for _, name := range names {
		if err == nil {
			stores, err = appendStore(stores, db, name, messages)
		}
	}
	return stores, len(names), err
}

// appendStore appends the store that a bucket holds, if it does.
func appendStore(stores []store, db *bbolt.DB, bucket string, messages bool) ([]store, error) {
	p := &publishStore{home: home{db.Path(), bucket, "bolt"}}
	found, err := pubstore.InspectBolt(db, bucket, pubstore.BoltOptions{}, p.collect(messages))
	if err == nil && bucket == publishBucket {
		p.input, err = readExtent(db)
	}
	if err == nil {
		p.found = found
		return append(stores, p), nil
	}
	if !errors.Is(err, pubstore.ErrNotStore) {
		return stores, err
	}
	b := &bookmarkStore{home: p.home}
	b.subscriptions, b.err = bookmarkstore.InspectBolt(db, bucket)
	if errors.Is(b.err, bookmarkstore.ErrNotStore) {
		return stores, nil
	}
	if isNewer(b.err) {
		return stores, b.err
	}
	return append(stores, b), nil
}

// A publishStore is one that was found.
type publishStore struct {
	home
	found    pubstore.Inspection
	messages map[string][]kept // by life, if they are wanted
	input    keptExtent        // of a run of holdfast publish that has not ended, if there is one
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

func (s *publishStore) name() string {
	return fmt.Sprintf("%v: %s publish store", s.home, s.format)
}

func (s *publishStore) damage() ([]error, string) {
	return s.found.Damage, "see holdfast store repair, which keeps all that can be read (a copy put back would be a rollback)"
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
		o.printf("  opening it begins a new life: it was not closed, and the machine has started anew since, or its last commit may be missing\n")
	}
	o.printf("  to be sent by the next client that opens it: %s, less what the server says it has\n", plural(kept, "message"))
	if s.input.Version > 0 && !s.input.Done {
		o.printf("  holdfast publish has read %s up to line %d, to topic %s: the same command goes on behind it\n",
			s.input.Input, s.input.Lines, plain(s.input.Topic))
	}
}

func (s *publishStore) printLife(o *output, life pubstore.InspectedLife) {
	o.printf("  publisher %d: given out up to %d, safe up to %d, ", bookmark.OfLife(life.ID).ID, life.Last, life.Acked)
	if life.Kept == 0 {
		o.printf("keeps nothing\n")
	} else {
		o.printf("keeps %s from %d on, %d bytes\n", plural(life.Kept, "message"), life.First, life.Bytes)
	}
	for _, r := range life.Missing {
		o.printf("    %s can't be read\n", rangeText(r))
	}
	for _, m := range s.sorted(life.ID) {
		o.printf("    %8d  %s  %7d B  %s\n", m.sequence, m.time.UTC().Format(timeForm), m.size, plain(m.topic))
	}
}

// rangeText names the messages of a range.
func rangeText(r pubstore.Range) string {
	if r.From == r.To {
		return fmt.Sprintf("message %d", r.From)
	}
	return fmt.Sprintf("messages %d to %d", r.From, r.To)
}

// A bookmarkStore is one that was found.
type bookmarkStore struct {
	home
	subscriptions []bookmarkstore.Inspected
	err           error // it can't be opened
}

func (s *bookmarkStore) name() string { return s.home.String() + ": bookmark store" }

func (s *bookmarkStore) damage() (damage []error, remedy string) {
	if s.err != nil {
		damage = append(damage, s.err)
	}
	for _, sub := range s.subscriptions {
		if sub.Damage != nil {
			damage = append(damage, sub.Damage)
		}
	}
	return damage, "put back a copy, or see holdfast store repair, after which messages come again"
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
