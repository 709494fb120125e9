package main

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// journalDump is "journal dump".
type journalDump struct {
	Dir          string `arg:"" help:"Directory of the journal: 'data' in the instance's configuration."`
	recordFilter `embed:""`
	Sequence     uint64 `help:"Only records with this sequence of their publisher, or a later one." placeholder:"N"`
	JSON         bool   `name:"json" help:"Print one JSON object per line."`
	Body         bool   `help:"Print the body of each message."`
}

// timeLayout is RFC 3339 with the microseconds that a journal keeps.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// A dumpedRecord is a record in the form that the command prints.
type dumpedRecord struct {
	Position  journal.Position `json:"position"`
	Time      string           `json:"time"`             // when this instance accepted it
	Publisher uint64           `json:"publisher,string"` // a string: many JSON readers lose digits of 64-bit numbers
	Sequence  uint64           `json:"sequence"`
	Prev      uint64           `json:"prev"`
	Kind      string           `json:"kind"`
	Topic     string           `json:"topic,omitempty"`
	User      string           `json:"user,omitempty"` // who published it; of a gone record that a link has made: the publisher's owner
	Size      int              `json:"size"`           // of the body
	CRC       string           `json:"crc,omitempty"`  // of the content of a message, the same on every instance
	Reason    string           `json:"reason,omitempty"`
	jsonCorrelation
	jsonHeaders
	Body      *string `json:"body,omitempty"`
	BodyBytes []byte  `json:"body_base64,omitempty"` // instead of body, if the body is not UTF-8
}

func newDumpedRecord(r *journal.Record) dumpedRecord {
	d := dumpedRecord{
		Position: journal.Position(r.Position), Time: formatMicros(r.Time), Publisher: r.Publisher, Sequence: r.Sequence, Prev: r.Prev,
		Kind: r.Kind.String(), Topic: string(r.Topic), User: string(r.User), Size: len(r.Body), Reason: string(r.Reason),
		jsonCorrelation: newJSONCorrelation(string(r.CorrelationID)),
	}
	if h, err := pubstore.DecodeHeaders(r.Headers); err == nil { // a record that was read has valid ones
		d.jsonHeaders = newJSONHeaders(h)
	}
	if crc := journal.ContentCRC(r); crc != 0 {
		d.CRC = fmt.Sprintf("%08x", crc)
	}
	return d
}

// formatMicros returns a time of a journal, in microseconds, as text.
func formatMicros(micros int64) string { return time.UnixMicro(micros).UTC().Format(timeLayout) }

// jsonBody returns a body for JSON: as text, or as bytes if it is not UTF-8.
func jsonBody(body []byte) (*string, []byte) {
	if !utf8.Valid(body) {
		return nil, body
	}
	text := string(body)
	return &text, nil
}

// String returns the record on one line.
func (d dumpedRecord) String() string {
	line := fmt.Sprintf("%10d  %s  %-24s  prev %-8d  %-9s  %7d B", d.Position, d.Time,
		fmt.Sprintf("%d|%d", d.Publisher, d.Sequence), d.Prev, d.Kind, d.Size)
	if d.CRC != "" {
		line += "  crc " + d.CRC
	}
	if d.Topic != "" {
		line += "  " + quoteIfNeeded(d.Topic)
	}
	if d.User != "" {
		line += "  user " + quoteIfNeeded(d.User)
	}
	for _, k := range slices.Sorted(maps.Keys(d.jsonHeaders.Text)) {
		line += "  header " + k + "=" + strconv.Quote(d.jsonHeaders.Text[k])
	}
	for _, k := range slices.Sorted(maps.Keys(d.jsonHeaders.Bytes)) {
		line += "  header " + k + "=" + strconv.Quote(string(d.jsonHeaders.Bytes[k]))
	}
	if d.Reason != "" {
		line += "  reason " + quoteIfNeeded(d.Reason)
	}
	switch {
	case d.Body != nil:
		line += "  " + strconv.Quote(*d.Body)
	case d.BodyBytes != nil:
		line += "  " + strconv.Quote(string(d.BodyBytes))
	}
	return line
}

// Run implements the command. It also prints the records after damage.
func (c *journalDump) Run(o *output) error {
	matches, err := c.match()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(o.out)
	lines := jsonEncoder(out)
	found, err := inspectJournal(c.Dir, func(r *journal.Record) error {
		if !matches(r) || r.Sequence < c.Sequence {
			return nil
		}
		d := newDumpedRecord(r)
		if c.Body && r.Kind == journal.Message {
			d.Body, d.BodyBytes = jsonBody(r.Body)
		}
		if c.JSON {
			return lines.Encode(d)
		}
		_, err := fmt.Fprintln(out, d)
		return err
	})
	if err = cmp.Or(err, out.Flush()); err != nil || found.Sound() {
		return err
	}
	fmt.Fprintln(o.err, "holdfast: the journal is not sound:")
	printFaults(&output{o.err, o.err}, &found)
	return errFault
}
