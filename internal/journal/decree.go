package journal

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// DecreeLifetime is the time for which a decree stands, by the age of the log. A decree
// without an end would hide the next loss.
const DecreeLifetime = 7 * 24 * time.Hour

// A Decree is the operator's declaration that acknowledged messages are lost (R4). It
// begins an incarnation of the group. The zero Decree means none.
type Decree struct {
	Incarnation uint64
	ID          uint64        // random; tells two decrees of one incarnation apart
	Members     []string      // instances that took part; each has the decree, or learns it from the next hello
	Lost        []string      // instances that were declared lost and have not joined again since
	Time        time.Time     // by the wall clock of the instance that made the decree; for display
	Age         time.Duration // how long it has stood, by the age of the log
	Ended       bool          // by command
}

// Stands reports whether publishers may still use the decree.
func (d Decree) Stands() bool { return d.Incarnation > 0 && !d.Ended && d.Age < DecreeLifetime }

// Same reports whether d and o are the same decree, possibly in different states.
func (d Decree) Same(o Decree) bool { return d.Incarnation == o.Incarnation && d.ID == o.ID }

// An agedDecree is a decree with the age of the log at which it was made.
type agedDecree struct {
	Decree
	age int64 // microseconds; negative: another instance made it before this log began
}

// Decree returns the newest decree.
func (j *Journal) Decree() Decree {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decreeLocked()
}

func (j *Journal) decreeLocked() Decree {
	d := j.table.decree.Decree
	d.Members, d.Lost = slices.Clone(d.Members), slices.Clone(d.Lost)
	if d.Incarnation > 0 {
		d.Age = max(0, time.Duration(j.updateAgeLocked()-j.table.decree.age)*time.Microsecond)
	}
	return d
}

// RecordDecree makes d the newest decree, or updates its state, durably.
func (j *Journal) RecordDecree(d Decree) error {
	if len(d.Members) > maxPeers || len(d.Lost) > maxPeers {
		return fmt.Errorf("journal: decree of incarnation %d: it names more than %d instances", d.Incarnation, maxPeers)
	}
	j.mu.Lock()
	age := j.updateAgeLocked() - d.Age.Microseconds()
	j.mu.Unlock()
	err := j.appendChange(change{kind: stateDecree, decree: agedDecree{d, age}})
	if err == nil {
		err = j.Sync()
	}
	return annotate(err, "decree of incarnation %d", d.Incarnation)
}

// DecreeUnused reports whether a decree stands that a publisher has not used.
func (j *Journal) DecreeUnused(publisher uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decreeLocked().Stands() && !j.table.lookup(publisher).usedDecree
}

// DecreeUsed reports whether a decree stands that a publisher has used.
func (j *Journal) DecreeUsed(publisher uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.decreeLocked().Stands() && j.table.lookup(publisher).usedDecree
}

// UseDecree records that a publisher has used the decree, if one stands. That becomes durable
// before any record appended afterwards. It does nothing for a publisher without a record: the
// journal keeps nothing about it.
func (j *Journal) UseDecree(publisher uint64) error {
	if _, known := j.State(publisher); !known || !j.DecreeUnused(publisher) || failpoint.On(failpoint.R4DecreeAgain) {
		return nil
	}
	return annotate(j.appendChange(change{kind: stateDecreeUsed, ids: []uint64{publisher}}), "record the use of the decree by publisher %d", publisher)
}

// UnseenSinceDecree returns the number n of publishers that were not seen since the standing
// decree was made, and at most limit of their ids, in order. It does not count publishers
// without a message, and those that exist for one start of an instance only.
func (j *Journal) UnseenSinceDecree(limit int) (ids []uint64, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.decreeLocked().Stands() {
		return nil, 0
	}
	for _, p := range j.table.sorted() {
		if p.usedDecree || p.have == 0 || bookmark.IsRun(p.id) {
			continue
		}
		if n++; n <= limit {
			ids = append(ids, p.id)
		}
	}
	return ids, n
}

// LostRanges returns the holes of a publisher whose cause is Lost, in order.
func (j *Journal) LostRanges(publisher uint64) (lost []ledger.Range) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, h := range j.table.lookup(publisher).holes {
		if h.cause == Lost {
			lost = append(lost, ledger.Range{From: h.from, To: h.to})
		}
	}
	return lost
}

// applyDecree makes d the decree, unless its incarnation is lower: a set-aside decree may
// be an old one. No publisher has used a new decree.
func (t *table) applyDecree(d agedDecree) {
	if d.Incarnation < t.decree.Incarnation {
		return
	}
	if !t.decree.Same(d.Decree) {
		for _, p := range t.byID {
			p.usedDecree = false
		}
	}
	d.Ended = d.Ended || t.decree.Same(d.Decree) && t.decree.Ended
	t.decree, t.age = d, max(t.age, d.age)
}

func (t *table) applyDecreeUsed(ids []uint64) {
	for _, id := range ids {
		if p := t.byID[id]; p != nil {
			p.usedDecree = true
		}
	}
}

func (c *coder) decree(d *agedDecree) {
	c.uvarint(&d.Incarnation)
	number(c, &d.ID)
	codeList(c, &d.Members, 1, (*coder).text)
	codeList(c, &d.Lost, 1, (*coder).text)
	c.time(&d.Time)
	number(c, &d.age)
	c.flags(&d.Ended)
	c.require(d.Incarnation > 0)
}

// codeDecree codes the table's decree, if there is one, and the publishers that have used it.
func (t *table) codeDecree(c *coder) {
	exists := t.decree.Incarnation > 0
	if c.flags(&exists); !exists {
		return
	}
	c.decree(&t.decree)
	used := t.idsOf(func(p *publisher) bool { return p.usedDecree })
	c.ids(&used)
	t.applyDecreeUsed(used)
}
