package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// storeCommands are the subcommands of "store".
type storeCommands struct {
	Inspect storeInspect `cmd:"" help:"Show the contents of a store: the messages to be replayed, or the place of each subscription."`
	Verify  storeVerify  `cmd:"" help:"Check that a store can be opened as it is; the exit code is 0 if so."`
	Export  storeExport  `cmd:"" help:"Print the messages to be replayed, or the place of each subscription, for other programs."`
	Repair  storeRepair  `cmd:"" help:"Repair a damaged store: keep everything readable in a store that can be opened, and keep the damaged one beside it."`
}

const pathHelp = "Directory of a file store, or database file with publish stores or bookmark stores in it."

// storeInspect is "store inspect".
type storeInspect struct {
	Path     string `arg:"" help:"${store_path}"`
	Messages bool   `help:"List the messages of publish stores in sending order."`
	JSON     bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *storeInspect) Run(o *output) error {
	stores, err := readStores(c.Path, c.Messages)
	if err != nil {
		return err
	}
	file, err := fileUsage(c.Path)
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
	return printDamage(o, stores, false)
}

// storeVerify is "store verify".
type storeVerify struct {
	Path string `arg:"" help:"${store_path}"`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *storeVerify) Run(o *output) error {
	stores, err := readStores(c.Path, false)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeStores(o, stores, nil)
	}
	return printDamage(o, stores, true)
}

// printDamage prints the damage of stores, and with all also the sound stores. It returns
// errFault if a store is damaged.
func printDamage(o *output, stores []*storeReport, all bool) (err error) {
	for _, s := range stores {
		for _, d := range s.Damage {
			o.printf("damage: %s\n", d)
		}
		switch {
		case !s.Sound && s.Publish != nil:
			o.printf("%s: DAMAGED; use holdfast store repair, which keeps everything readable (restoring a backup would be a rollback)\n", s.name())
			err = errFault
		case !s.Sound:
			o.printf("%s: DAMAGED; restore a backup, or use holdfast store repair, after which messages come again\n", s.name())
			err = errFault
		case all:
			o.printf("%s: sound\n", s.name())
		}
	}
	return err
}

// readStores reads the stores at path. It detects their kinds.
func readStores(path string, messages bool) ([]*storeReport, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, usageErrorf("%s does not exist", path)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, usageErrorf("%s does not exist: the part before its last / is a file; if that is the database, name it", path)
	case err != nil:
		return nil, withAdvice(path, err)
	case info.IsDir():
		s, err := readFileStore(path, messages)
		return []*storeReport{s}, err
	case !info.Mode().IsRegular():
		return nil, usageErrorf("%s is neither a directory nor a file", path)
	case info.Size() == 0:
		return nil, usageErrorf("%s is empty", path)
	}
	return readBoltStores(path, messages)
}

// readFileStore reads the file store in a directory.
func readFileStore(dir string, messages bool) (*storeReport, error) {
	kept := make(keptMessages)
	found, err := pubstore.InspectFile(dir, pubstore.FileOptions{}, kept.collect(messages))
	if errors.Is(err, pubstore.ErrNotStore) {
		if found, err := journal.Inspect(seglog.ReadOnly, dir, nil); err == nil && found.Log.Segments > 0 {
			return nil, usageErrorf("%s is the journal of an instance: see holdfast journal verify", dir)
		}
		return nil, usageErrorf("%s holds no publish store", dir)
	}
	return publishStoreOf(dir, "", &found, kept, storedExtent{}), withAdvice(dir, err)
}

// readBoltStores reads every store in a database, which must have at least one.
func readBoltStores(path string, messages bool) (stores []*storeReport, err error) {
	err = withBolt(path, func(db *bbolt.DB) (err error) {
		var buckets int
		stores, buckets, err = findStores(db, messages)
		if err == nil && len(stores) == 0 {
			err = usageErrorf("%s holds no store, but %s of something else", path, plural(buckets, "bucket"))
		}
		return err
	})
	return stores, err
}

// fileUsage returns the space usage of a database file, nil for a directory.
func fileUsage(path string) (file *fileReport, err error) {
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
		o.printf("  a backlog left it this large; a store's own file is compacted when it is opened next (for an application's, see pubstore.OpenBoltIn)\n")
	}
}

// withBolt opens a database for reading and calls do with it.
func withBolt(path string, do func(*bbolt.DB) error) error {
	db, err := boltfile.OpenReadOnly(path, &bbolt.Options{Timeout: 250 * time.Millisecond})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return inUseError(path)
	case errors.Is(err, bbolterrors.ErrInvalid):
		return usageErrorf("%s is neither a directory nor a database (bbolt): for a file store, name the directory", path)
	case errors.Is(err, os.ErrPermission):
		return withAdvice(path, err)
	case err != nil:
		return withRepairAdvice(err)
	}
	defer db.Close()
	return withRepairAdvice(boltfile.Guard(path, func() error { return do(db) }))
}

// withRepairAdvice adds advice for the user if err says that a database is damaged.
func withRepairAdvice(err error) error {
	if d, ok := errors.AsType[*boltfile.DamageError](err); ok {
		return &exitError{exitFault, fmt.Errorf("%w; use holdfast store repair, or restore a backup", d)}
	}
	return err
}

// findStores reads the stores in an open database, and counts its buckets.
func findStores(db *bbolt.DB, messages bool) (stores []*storeReport, buckets int, err error) {
	names, err := bucketNames(db)
	for _, name := range names {
		if err == nil {
			stores, err = appendStore(stores, db, name, messages)
		}
	}
	return stores, len(names), err
}

// appendStore appends the store in a bucket, if the bucket holds one.
func appendStore(stores []*storeReport, db *bbolt.DB, bucket string, messages bool) ([]*storeReport, error) {
	kept, input := make(keptMessages), storedExtent{}
	found, err := pubstore.InspectBolt(db, bucket, pubstore.BoltOptions{}, kept.collect(messages))
	if err == nil && bucket == publishBucket {
		input, err = readExtent(db)
	}
	if err == nil {
		return append(stores, publishStoreOf(db.Path(), bucket, &found, kept, input)), nil
	}
	if !errors.Is(err, pubstore.ErrNotStore) {
		return stores, err
	}
	subscriptions, err := bookmarkstore.InspectBolt(db, bucket)
	if errors.Is(err, bookmarkstore.ErrNotStore) {
		return stores, nil
	}
	if isNewer(err) {
		return stores, err
	}
	return append(stores, bookmarkStoreOf(db.Path(), bucket, subscriptions, err)), nil
}

// print shows a store to a person.
func (s *storeReport) print(o *output) {
	if s.Publish != nil {
		s.Publish.print(o, s.name())
		return
	}
	o.printf("%s, %s\n", s.name(), plural(len(s.Subscriptions), "subscription"))
	for _, sub := range s.Subscriptions {
		sub.print(o)
	}
}

func (p *publishReport) print(o *output, name string) {
	owner := "of client " + quoteIfNeeded(p.Client)
	if p.Client == "" {
		owner = "that no client has used yet"
	}
	end := "closed cleanly"
	if !p.Closed {
		end = "not closed: its process died, or it is a copy of one in use"
	}
	o.printf("%s %s, %s, %s\n", name, owner, plural(int(p.Logons), "logon"), end)
	for _, life := range p.Lives {
		life.print(o)
	}
	if p.TornBytes > 0 {
		o.printf("  opening it removes a torn tail of %d bytes\n", p.TornBytes)
	}
	if p.Renews {
		o.printf("  opening it begins a new life: it was not closed and the machine has restarted since, or its last commit may be missing\n")
	}
	o.printf("  to be sent by the next client that opens it: %s, except those that the server already has\n", plural(p.ToSend, "message"))
	if in := p.Input; in != nil {
		o.printf("  holdfast publish has read %s up to line %d, to topic %s: the same command continues after it\n", in.Name, in.Lines, quoteIfNeeded(in.Topic))
	}
}

func (l *lifeReport) print(o *output) {
	o.printf("  publisher %d: given out up to %d, safe up to %d, ", l.Publisher, l.GivenOut, l.Safe)
	if l.Kept == 0 {
		o.printf("keeps nothing\n")
	} else {
		o.printf("keeps %s from %d on, %d bytes\n", plural(l.Kept, "message"), l.First, l.Bytes)
	}
	for _, r := range l.Missing {
		o.printf("    %s can't be read\n", rangeText(r))
	}
	for _, m := range l.Messages {
		o.printf("    %8d  %s  %7d B  %s\n", m.Sequence, m.Time, m.Size, quoteIfNeeded(m.Topic))
	}
}

// rangeText names the messages of a range.
func rangeText(r pubstore.Range) string {
	if r.From == r.To {
		return fmt.Sprintf("message %d", r.From)
	}
	return fmt.Sprintf("messages %d to %d", r.From, r.To)
}

func (s *subscriptionReport) print(o *output) {
	if s.Damage != "" {
		o.printf("  %s: damaged\n", quoteIfNeeded(s.Subscription))
		return
	}
	o.printf("  %s, topic %s", quoteIfNeeded(s.Subscription), quoteIfNeeded(s.Topic))
	if s.Filter != "" {
		o.printf(", filter %s", quoteIfNeeded(s.Filter))
	}
	if !s.Known {
		o.printf(": has no place yet, starts where the subscribe says\n")
		return
	}
	o.printf(": resumes after %s\n", s.Resume)
	if n := len(s.Done); n > 0 {
		o.printf("    discarded already, not delivered again: %s from %s to %s\n", plural(n, "message"), s.Done[0], s.Done[n-1])
	}
}
