package journal

import (
	"slices"
	"time"
)

// A DegradedInterval is a time in which a destination was downgraded, so that acks were
// single. Destination and Begin identify it. Times have a precision of a microsecond.
type DegradedInterval struct {
	Destination string
	Begin       time.Time
	End         time.Time        // zero: still going on
	Ranges      []PublisherRange // settled without the destination, per publisher
}

// NoteDegraded records an interval in which a sync destination was downgraded (R5), or
// updates a recorded one. The journal keeps the interval until retention would have removed
// its records.
func (j *Journal) NoteDegraded(i DegradedInterval) error {
	if i.Destination == "" || i.Begin.IsZero() {
		panic("BUG: journal.NoteDegraded without destination or begin")
	}
	i.Begin = time.UnixMicro(i.Begin.UnixMicro())
	if !i.End.IsZero() {
		i.End = time.UnixMicro(i.End.UnixMicro())
	}
	i.Ranges = slices.Clone(i.Ranges)
	return annotate(j.appendChange(change{kind: stateInterval, interval: i}), "record degraded interval of %s", i.Destination)
}

// DegradedIntervals returns the remembered degraded intervals, oldest first. The caller must not
// change their ranges.
func (j *Journal) DegradedIntervals() []DegradedInterval {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.table.intervals)
}

// minIntervalLen is the length of the shortest coded interval.
const minIntervalLen = 1 + 8 + 8 + 1

func (c *coder) interval(i *DegradedInterval) {
	c.text(&i.Destination)
	c.time(&i.Begin)
	end := int64(0) // still going on
	if !i.End.IsZero() {
		end = i.End.UnixMicro()
	}
	if number(c, &end); c.reading && end != 0 {
		i.End = time.UnixMicro(end)
	}
	codeList(c, &i.Ranges, 8+1+1, func(c *coder, r *PublisherRange) {
		number(c, &r.Publisher)
		c.uvarint(&r.From)
		c.uvarint(&r.To)
	})
}
