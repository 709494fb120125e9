package sim

import (
	"encoding/binary"
	"maps"
	"strconv"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A reader is the history of a subscriber.
type reader struct {
	checker.Reader
	base            bookmark.Vector                         // that its subscription began with; nil: none yet
	queue           []*checker.Delivery                     // came, and was not handed over yet
	handed          map[bookmark.Bookmark]*checker.Delivery // as it was handed over last, unless that is forgotten
	completeThrough bookmark.Vector                         // up to where incomplete has found nothing

	closedUnnamed  bookmark.Vector    // up to where publishers were closed that its place did not name (R10)
	leftOut        map[uint64]leftOut // publishers that its place has left out
	revivedThrough bookmark.Vector    // up to where images have brought these back since

	withheld    map[string]*withholding    // topics that an instance may not deliver
	deniedUntil map[string]time.Duration   // when that last ended, by topic
	excused     map[bookmark.Bookmark]bool // messages that it need not be handed for that reason
}

// A leftOut is how far a publisher was that a place has left out, and when.
type leftOut struct {
	to uint64
	at time.Duration
}

// subscriberAdded makes a subscriber known.
func (o *oracle) subscriberAdded(s *subscriber) {
	r := &reader{handed: make(map[bookmark.Bookmark]*checker.Delivery), completeThrough: make(bookmark.Vector),
		closedUnnamed: make(bookmark.Vector), leftOut: make(map[uint64]leftOut), revivedThrough: make(bookmark.Vector),
		withheld: make(map[string]*withholding), deniedUntil: make(map[string]time.Duration), excused: make(map[bookmark.Bookmark]bool)}
	r.Name = s.name
	if s.topic != topicAll {
		r.Topic = s.topic
	}
	o.readers[s] = r
}

// subscriberStarted notes a new life of a subscriber's process.
func (o *oracle) subscriberStarted(s *subscriber) {
	r := o.readers[s]
	r.FullyDurable = s.fullyDurable
	r.Processes, r.queue = append(r.Processes, nil), nil
}

func (o *oracle) baseSet(s *subscriber, base bookmark.Vector) {
	r := o.readers[s]
	if r.base != nil {
		o.violate("%s: a subscription that is known got another base", s.name)
	}
	r.base = maps.Clone(base)
	if s.start != epochText {
		r.Since = int64(o.w.now)
	}
}

// delivered notes a delivered message, to be handed over in this order.
func (o *oracle) delivered(s *subscriber, b bookmark.Bookmark, body uint64) {
	r := o.readers[s]
	r.queue = append(r.queue, &checker.Delivery{Bookmark: b, Body: bodyText(body)})
}

// handedOver notes that the next message was handed over.
func (o *oracle) handedOver(s *subscriber) {
	r := o.readers[s]
	m, last := r.queue[0], len(r.Processes)-1
	r.queue = r.queue[1:]
	o.w.counts.Delivered++
	if had := r.handed[m.Bookmark]; had != nil && m.Sequence <= r.revivedThrough[m.Publisher] {
		o.w.counts.Revived++
		return
	}
	r.Processes[last] = append(r.Processes[last], m)
	r.handed[m.Bookmark] = m
}

// discarded notes that a discard was called.
func (o *oracle) discarded(s *subscriber, b bookmark.Bookmark) {
	o.readers[s].handed[b].State = checker.Discarding
}

// subscriberDied notes which discards are on the disk of a subscriber whose process has
// died: all of them or, if its store forgets, only those up to the last commit. The
// messages of forgotten discards must come again.
func (o *oracle) subscriberDied(s *subscriber, forgets bool) {
	got := o.readers[s].handed
	for b, m := range got {
		switch {
		case m.State == checker.NotDiscarded:
		case forgets && !s.committed.Covers(b):
			m.State = checker.Discarding // it was on disk for a time, perhaps
			delete(got, b)
		default:
			m.State = checker.DiscardDurable
		}
	}
}

// gapReported notes a gap that was reported to a subscriber.
func (o *oracle) gapReported(s *subscriber, publisher, from, to uint64) {
	if _, forged := o.forgerLimits[publisher]; forged || o.w.isConflicting(publisher) {
		return
	}
	r := o.readers[s]
	r.Gaps = append(r.Gaps, checker.Gap{Publisher: publisher, From: from, Through: to})
	if from <= r.revivedThrough[publisher] {
		o.w.counts.Revived++
		from = r.revivedThrough[publisher] + 1
	}
	for seq := from; seq <= to; seq++ {
		if m := r.handed[bookmark.Bookmark{Publisher: publisher, Sequence: seq}]; m != nil && m.State == checker.DiscardDurable {
			o.violate("%s is told that it misses %d from %d to %d although it has handled %d", s.name, publisher, from, to, seq)
			return
		}
	}
}

// publisherLeftOut notes that a place has left out a publisher that it had up to there.
func (o *oracle) publisherLeftOut(s *subscriber, publisher, to uint64) {
	o.w.logf("%s leaves out %d|%d", s.name, publisher, to)
	o.w.counts.LeftOut++
	r := o.readers[s]
	r.leftOut[publisher] = leftOut{to, o.w.now}
	delete(r.revivedThrough, publisher)
}

// noteUnnamedClosed notes the closed publishers that the place of a subscriber does not
// name: their removed messages are not reported as a gap (R10).
func (o *oracle) noteUnnamedClosed(s *subscriber) {
	r := o.readers[s]
	v, _ := s.sub.Place().Received()
	for _, l := range o.order {
		for _, i := range o.w.instances[:2] {
			if v[l.publisher] == 0 {
				r.closedUnnamed[l.publisher] = max(r.closedUnnamed[l.publisher], i.state(l).ClosedUpTo)
			}
		}
	}
}

// noteRevived notes the publishers that places have left out and a restored image does
// not have as closed. The image must be older than that by retain (R10).
func (o *oracle) noteRevived(i *instance, taken time.Duration) {
	o.revived = append(o.revived, revival{taken, o.w.now})
	o.readDamagedDisk(i, o.w.damaged, func(j *journal.Journal) error {
		for _, l := range o.order {
			s, _ := j.State(l.publisher)
			for _, sub := range o.w.subscribers {
				r := o.readers[sub]
				if left := r.leftOut[l.publisher]; s.Have > 0 && s.ClosedUpTo < left.to && taken+o.w.settings.retain <= left.at {
					o.w.logf("%s has %s again, which %s has left out", i.name, l.id, sub.name)
					r.revivedThrough[l.publisher] = left.to
				}
			}
		}
		return nil
	})
}

// firstMissing returns a message that a subscriber should have been handed and wasn't,
// given the contents of the instances. It is for a run at rest, when no process dies any
// more.
func (o *oracle) firstMissing(s *subscriber, have bookmark.Vector) *message {
	r := o.readers[s]
	for _, l := range o.order {
		if o.forgotten(l) {
			continue
		}
		end := min(have[l.publisher], uint64(len(l.messages)))
		for seq := max(r.base[l.publisher], o.removedThrough(l), r.completeThrough[l.publisher], l.publishedAtForget, r.closedUnnamed[l.publisher]) + 1; seq <= end; seq++ {
			m, b := l.messages[seq-1], bookmark.Bookmark{Publisher: l.publisher, Sequence: seq}
			done := r.handed[b] != nil && r.handed[b].State != checker.NotDiscarded
			if !done && s.wants(m) && !m.refusalTold && len(m.denied) == 0 && !r.excused[b] && !o.mayHavePassed(s.fullyDurable, m) && !r.HasGap(b) { // a refused message may be on no disk
				return m
			}
			r.completeThrough[l.publisher] = seq
		}
	}
	return nil
}

// floors are those of an instance.
func (o *oracle) floors(i *instance) bookmark.Vector {
	v := bookmark.Vector{}
	for _, l := range o.order {
		v[l.publisher] = i.state(l).Floor
	}
	return v
}

// checkTrim checks that retention has removed nothing before its time (R2).
func (o *oracle) checkTrim(i *instance, before bookmark.Vector) {
	for _, l := range o.order {
		m := l.message(i.state(l).Floor)
		if m == nil || m.Sequence <= before[l.publisher] {
			continue
		}
		if age := o.w.now - time.Duration(m.PublishedAt); age < i.retention() {
			o.violate("%s removes %s|%d, which is %v old", i.name, l.id, m.Sequence, age)
		}
	}
}

func (s *subscriber) wants(m *message) bool {
	return m.Kind == journal.Message && (s.topic == topicAll || s.topic == m.Topic)
}

// topicAll is the pattern of every topic.
const topicAll = ".*"

func bodyText(body uint64) string { return strconv.FormatUint(body, 10) }

// judge has the checker judge the run: it reads the disks and the histories of the
// subscribers.
func (o *oracle) judge() {
	h := checker.History{}
	for _, i := range o.w.instances {
		h.Journals = append(h.Journals, o.journal(i))
	}
	o.settleKinds(h.Journals)
	for _, l := range o.order {
		for _, m := range l.messages {
			h.Published = append(h.Published, &m.Publication)
		}
	}
	for _, s := range o.w.subscribers {
		h.Readers = append(h.Readers, o.readerHistory(s))
	}
	for _, v := range h.Check() {
		o.violate("%v", v)
	}
}

// journal returns the content of a journal after a power cut at this moment.
func (o *oracle) journal(i *instance) checker.Journal {
	c := checker.Journal{Instance: i.name, OneWay: i.spare, Have: bookmark.Vector{}}
	if o.w.settings.retain > 0 || i.spare {
		// Only retention may remove a message, unless it was lost with its publisher, or
		// was damaged and no peer can give it back.
		c.Floor = bookmark.Vector{}
	}
	o.readDisk(i, func(j *journal.Journal) error {
		for _, s := range j.States() {
			if o.w.isConflicting(s.Publisher) || o.isForged(i, s.Publisher, s.Have) {
				continue
			}
			c.Have[s.Publisher] = s.Have
			if c.Floor != nil {
				c.Floor[s.Publisher] = s.Floor
			}
		}
		f := j.Follow(0, journal.Appended)
		defer f.Close()
		for r := (journal.Record{}); ; {
			if more, err := f.Next(&r); err != nil || !more {
				return err
			}
			if m := o.message(r.Publisher, r.Sequence); m != nil && m.refusalTold && r.Kind == journal.Tombstone && m.Kind != r.Kind {
				r.Kind = journal.Elsewhere // its store was told that the outcome is unknown, and leaves it out
			}
			if !o.w.isConflicting(r.Publisher) && !o.isForged(i, r.Publisher, r.Sequence) {
				c.Records = append(c.Records, stored(&r))
			}
		}
	})
	for _, l := range o.order {
		if l.forgettable(o.w, c.Have[l.publisher]) {
			c.Floor[l.publisher] = uint64(len(l.messages))
			delete(c.Have, l.publisher)
		}
	}
	return c
}

// message returns a message, nil if it was never published.
func (o *oracle) message(publisher, seq uint64) *message {
	if l := o.lives[publisher]; l != nil {
		return l.message(seq)
	}
	return nil
}

// isForged reports whether a publisher is a forger's, which no honest
// application knows of. It must not be further than it may.
func (o *oracle) isForged(i *instance, publisher, sequence uint64) bool {
	allowed, forged := o.forgerLimits[publisher]
	if forged && sequence > allowed {
		o.violate("%s has %d of a forger, who may have sent %d", i.name, sequence, allowed)
	}
	return forged
}

func stored(r *journal.Record) checker.Record {
	s := checker.Record{
		Bookmark: bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence},
		Prev:     r.Prev, Kind: r.Kind, Topic: string(r.Topic),
	}
	if r.Kind == journal.Message {
		s.Body = bodyText(binary.LittleEndian.Uint64(r.Body))
	}
	return s
}

// readerHistory returns the history of a subscriber. Messages that the subscription need
// not be handed count as gaps.
func (o *oracle) readerHistory(s *subscriber) *checker.Reader {
	r := o.readers[s]
	r.FullyDurable = r.FullyDurable && o.w.counts.Lost == 0 // it may have been handed a message that is lost
	for _, l := range o.order {
		none := max(r.base[l.publisher], o.removedThrough(l), l.publishedAtForget, r.closedUnnamed[l.publisher])
		if o.forgotten(l) {
			none = uint64(len(l.messages))
		}
		if none > 0 {
			r.Gaps = append(r.Gaps, checker.Gap{Publisher: l.publisher, From: 1, Through: none})
		}
	}
	r.Gaps = append(r.Gaps, o.withheldGaps(r)...)
	o.dropLost(r)
	return &r.Reader
}
