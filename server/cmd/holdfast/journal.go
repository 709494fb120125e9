package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// journalCommands are the subcommands of "journal".
type journalCommands struct {
	Dump    journalDump    `cmd:"" help:"Print the records in order."`
	Verify  journalVerify  `cmd:"" help:"Check checksums, order and identities; the exit code is 0 if all is well."`
	Compare journalCompare `cmd:"" help:"Compare the journals of two instances and show the first difference of each publisher."`
	Trim    journalTrim    `cmd:"" help:"Remove the oldest segments of a stopped instance, such as one that cannot start because its disk is full."`
}

// journalVerify is "journal verify".
type journalVerify struct {
	Dir  string `arg:"" help:"Directory of the journal: 'data' in the instance's configuration."`
	All  bool   `help:"List every publisher, not only the first twenty."`
	JSON bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *journalVerify) Run(o *output) error {
	found, err := inspectJournal(c.Dir, nil)
	if err != nil {
		return err
	}
	return o.report(c.JSON, found.Sound(), journalReportOf(c.Dir, &found), func() { c.print(o, &found) })
}

// print shows the result to a person.
func (c *journalVerify) print(o *output, found *journal.Inspection) {
	log := found.Log
	o.printf("journal %s\n", c.Dir)
	o.printf("  %s, %d bytes, positions %d to %d\n", plural(log.Segments, "segment"), log.Bytes, log.First, log.End)
	o.printf("  %s of %s, including %s\n", plural(found.Records, "record"), plural(found.Publishers, "publisher"), plural(found.Messages, "message"))
	switch c := found.Cluster; {
	case c.ID.IsZero():
		o.printf("  cluster: none yet\n")
	case !c.Intact:
		o.printf("  cluster %s, not intact: it has not caught up with an intact instance since it was created\n", c.ID)
	default:
		o.printf("  cluster %s\n", c.ID)
	}
	o.printf("  durable up to position %d\n", log.Durable)
	printOpening(o, log)
	printPublishers(o, found.States, c.All)
	if found.Sound() {
		o.printf("sound: all checksums are valid, each identity occurs once, and each publisher's records are in order\n")
		return
	}
	printFaults(o, found)
}

// printOpening lists the changes that opening the journal would make.
func printOpening(o *output, log seglog.Inspection) {
	if t := log.Torn; t != nil {
		o.printf("  torn tail: %d bytes in %s from offset %d on, never acknowledged: opening removes them\n", t.Bytes, t.File, t.Offset)
	}
	if log.Cut > 0 {
		o.printf("  unfinished cut before damage: opening ends the journal at position %d, and this report ends there too\n", log.Cut)
	}
	for _, name := range log.Unfinished {
		o.printf("  unfinished file %s: opening removes it\n", name)
	}
	for _, name := range log.Unknown {
		o.printf("  unknown file %s: its header is not holdfast's, so it was renamed; it takes space until you remove it\n", name)
	}
	for _, name := range log.Flagged {
		o.printf("  flagged: a reader found damage in %s: opening checks it\n", name)
	}
}

// maxPublishersShown is the number of publishers that are listed without --all.
const maxPublishersShown = 20

func printPublishers(o *output, states []journal.PublisherState, all bool) {
	for i, s := range states {
		if i == maxPublishersShown && !all {
			o.printf("  and %d more publishers (--all lists them)\n", len(states)-i)
			return
		}
		line := fmt.Sprintf("  publisher %d: up to %d", s.Publisher, s.Have)
		if s.Owner != "" {
			line += ", owner " + quoteIfNeeded(s.Owner)
		}
		if s.Floor > 0 {
			line += fmt.Sprintf("; retention has removed up to %d", s.Floor)
		}
		o.printf("%s\n", line)
		if s.Diverged > 0 {
			o.printf("    diverged: from %d on, another instance has or may have other contents\n", s.Diverged)
		}
	}
}

// printFaults lists the damage and the faults of a journal.
func printFaults(o *output, found *journal.Inspection) {
	for _, d := range found.Log.Damage {
		o.printf("damage: %s at offset %d, position %d: %s\n", d.File, d.Offset, d.Position, d.Reason)
	}
	if d := found.Log.Aside; d != nil {
		o.printf("damage: found earlier in %s at offset %d; the records after it are set aside until the peer is linked\n", d.File, d.Offset)
	}
	for _, fault := range found.Faults {
		o.printf("fault: %s\n", strings.TrimPrefix(fault.Error(), "journal: "))
	}
	o.printf("NOT SOUND: %s, %s", plural(len(found.Log.Damage), "damaged place"), plural(found.FaultCount, "fault"))
	if len(found.Log.Damage) > 0 || found.Log.Aside != nil {
		o.printf("; an instance with a peer starts and repairs its journal from it; a lone one needs -accept-damage")
	}
	o.printf("\n")
}

// inspectJournal reads a journal. It returns a usage error if dir holds something else.
func inspectJournal(dir string, fn func(*journal.Record) error) (journal.Inspection, error) {
	found, err := journal.Inspect(seglog.ReadOnly, dir, fn)
	return found, journalError(dir, found, err)
}

// journalError returns an error with advice for the user if no journal could be read in dir.
func journalError(dir string, found journal.Inspection, err error) error {
	if err := checkDirectory(dir); err != nil {
		return err
	}
	switch {
	case errors.Is(err, journal.ErrNotJournal):
		if _, err := pubstore.InspectFile(dir, pubstore.FileOptions{}, nil); err == nil {
			return usageErrorf("%s is a publish store: see holdfast store inspect", dir)
		}
		return usageErrorf("%s is not a journal", dir)
	case err == nil && found.Log.Segments == 0:
		return usageErrorf("%s holds no journal: name the directory with the *.log files", dir)
	}
	return withAdvice(dir, err)
}

// A recordFilter selects records.
type recordFilter struct {
	Publisher []uint64     `help:"Only records of this publisher. May be repeated." placeholder:"ID"`
	Topic     string       `help:"Only records of this topic. With any of ^$.*+?()[]{}|\\ it is a regular expression, matched anywhere in a topic." placeholder:"TOPIC"`
	From      journalPoint `help:"Only records from this position on, or accepted at or after this time (RFC 3339)." placeholder:"POSITION|TIME"`
	To        journalPoint `help:"Only records before this position, or accepted before this time." placeholder:"POSITION|TIME"`
}

// match returns a function that reports whether the filter selects a record.
func (f *recordFilter) match() (func(*journal.Record) bool, error) {
	topicMatches := func([]byte) bool { return true }
	if f.Topic != "" {
		pattern, err := topic.Parse(f.Topic)
		if err != nil {
			return nil, usageErrorf("--topic %q: %w", f.Topic, err)
		}
		topicMatches = pattern.Match
	}
	return func(r *journal.Record) bool {
		return (len(f.Publisher) == 0 || slices.Contains(f.Publisher, r.Publisher)) && topicMatches(r.Topic) &&
			(f.From.isAfter == nil || !f.From.isAfter(r)) && (f.To.isAfter == nil || f.To.isAfter(r))
	}, nil
}

// A journalPoint is a position or a time in a journal.
type journalPoint struct {
	isAfter func(*journal.Record) bool // reports whether the point is after the record; nil: no point was given
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *journalPoint) UnmarshalText(text []byte) error {
	if t, err := time.Parse(time.RFC3339, string(text)); err == nil {
		p.isAfter = func(r *journal.Record) bool { return r.Time < t.UnixMicro() }
		return nil
	}
	position, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is neither a position (a number) nor a time (such as 2026-01-31T12:00:00Z)", text)
	}
	p.isAfter = func(r *journal.Record) bool { return uint64(r.Position) < position }
	return nil
}
