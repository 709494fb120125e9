package main

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// journalTrim is "journal trim".
type journalTrim struct {
	Dir   string `arg:"" help:"Directory of the journal: 'data' in the instance's configuration. The instance must be stopped."`
	Bytes int64  `required:"" help:"Remove the oldest segments until the journal is no larger than this many bytes. The newest segment stays."`
}

// Run implements the command.
func (c *journalTrim) Run(o *output) error {
	if c.Bytes <= 0 {
		return usageErrorf("--bytes is %d: it must be above 0", c.Bytes)
	}
	if err := checkDirectory(c.Dir); err != nil {
		return err
	}
	n, err := journal.TrimClosed(seglog.OS, c.Dir, c.Bytes, 0)
	if err != nil {
		return withAdvice(c.Dir, err)
	}
	o.printf("removed %s of %s", plural(n, "segment"), c.Dir)
	if n > 0 {
		o.printf("; subscriptions and peers that lack their records will be told of a gap")
	}
	o.printf("\n")
	return nil
}
