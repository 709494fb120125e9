package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An oracle knows what was published, what has been promised, and what each
// disk has, and says where a promise was not kept. It never asks a server.
type oracle struct {
	w          *world
	lives      map[uint64]*life // by publisher
	order      []*life
	readers    map[*subscriber]*reader
	violations []string
	history    *history // nil: not kept
}

// A life is one run of sequences of a publish store.
type life struct {
	id        string
	publisher uint64
	owner     *publisher
	messages  []message // the first has sequence 1
	synced    int       // of these, safe against a power cut in the publisher's store
	safe      uint64    // highest sequence acknowledged as safe
	letGo     uint64    // highest sequence its store has let go of as safe
}

// A message is one that an application's Publish returned nil for.
type message struct {
	body  uint64
	topic string
	// excused: its publisher lost it with what G1 does not cover, as with
	// the process of a memory store, before it was safe.
	excused  bool
	rejected bool // the application was told
	refused  bool // the client was told that a server refused it
}

// A reader is what a subscriber has been handed.
type reader struct {
	based  bool
	base   bookmark.Vector
	places map[uint64]*place
}

// A place is one publisher in a reader: by sequence, what has become of it.
type place struct {
	last  uint64 // handed last, in this life of the process
	state []uint8
}

const (
	discarded uint8 = 1 << iota
	skipped         // a gap said so
)

func (o *oracle) begin(w *world) {
	o.w, o.lives, o.readers = w, make(map[uint64]*life), make(map[*subscriber]*reader)
	if w.o.Check {
		o.history = newHistory()
	}
}

// maxViolations is enough to see what is wrong.
const maxViolations = 20

func (o *oracle) violate(format string, args ...any) {
	text := fmt.Sprintf("%.6fs ", o.w.now.Seconds()) + fmt.Sprintf(format, args...)
	o.w.say("VIOLATION %s", text)
	if len(o.violations) < maxViolations {
		o.violations = append(o.violations, text)
	}
}

// accepted notes that a store took a message.
func (o *oracle) accepted(p *publisher, id string, seq uint64, topic string, body uint64) {
	l := o.life(p, id)
	if seq != uint64(len(l.messages))+1 {
		o.violate("%s: message %d of %s follows %d", p.name, seq, id, len(l.messages))
		return
	}
	l.messages = append(l.messages, message{body: body, topic: topic})
	if p.always {
		l.synced = len(l.messages)
	}
	o.w.counts.Published++
	if o.history != nil {
		o.history.times[body] = int64(o.w.now)
	}
}

func (o *oracle) life(p *publisher, id string) *life {
	h := publisherOf(id)
	l := o.lives[h]
	if l == nil {
		l = &life{id: id, publisher: h, owner: p}
		o.lives[h] = l
		o.order = append(o.order, l)
	}
	return l
}

// of returns the lives of a publisher.
func (o *oracle) of(p *publisher) (lives []*life) {
	for _, l := range o.order {
		if l.owner == p {
			lives = append(lives, l)
		}
	}
	return lives
}

// synced notes that a store has synced.
func (o *oracle) synced(p *publisher) {
	for _, l := range o.of(p) {
		l.synced = len(l.messages)
	}
}

// closed notes that a publisher's process has ended, and what may be lost with it.
func (o *oracle) closed(p *publisher, power bool) {
	for _, l := range o.of(p) {
		from := len(l.messages)
		switch {
		case p.memory:
			from = 0
		case power:
			from = l.synced
		}
		l.excuse(from)
	}
}

// excuse allows messages behind the first few to be missing, as far as they
// were not safe.
func (l *life) excuse(from int) {
	for n := max(from, int(l.safe)); n < len(l.messages); n++ {
		l.messages[n].excused = true
	}
}

// opened looks whether a store still has what it must (G1).
func (o *oracle) opened(p *publisher) {
	kept := make(map[uint64][]uint64) // bodies by publisher
	for _, l := range p.store.Lives() {
		known := o.life(p, l.ID)
		c, err := p.store.Cursor(l.ID, 0)
		if err != nil {
			o.violate("%s: cursor: %v", p.name, err)
			return
		}
		bodies := make([]uint64, len(known.messages)+1)
		for m := (pubstore.Message{}); ; {
			more, err := c.Next(&m)
			if err != nil {
				o.violate("%s: read the store: %v", p.name, err)
			}
			if !more || err != nil {
				break
			}
			if m.Sequence > uint64(len(known.messages)) {
				o.violate("%s: %s|%d was never published", p.name, l.ID, m.Sequence)
				break
			}
			bodies[m.Sequence] = binary.LittleEndian.Uint64(m.Body)
		}
		c.Close()
		kept[known.publisher] = bodies
		if l.Last < uint64(len(known.messages)) {
			o.cut(p, known, l.Last)
		}
	}
	for _, l := range o.of(p) {
		o.checkKept(p, l, kept[l.publisher])
	}
}

// cut notes that the end of a life is not in its store any more: a power cut
// took it, and these numbers must not be given again.
func (o *oracle) cut(p *publisher, l *life, last uint64) {
	lives := p.store.Lives()
	if lives[len(lives)-1].ID == l.id {
		o.violate("%s: %s goes on from %d, and %d was given out", p.name, l.id, last, len(l.messages))
	}
}

func (o *oracle) checkKept(p *publisher, l *life, bodies []uint64) {
	for n, m := range l.messages {
		seq := uint64(n) + 1
		if m.excused || m.rejected || seq <= l.safe {
			continue
		}
		if int(seq) >= len(bodies) || bodies[seq] == 0 {
			o.violate("%s: lost %s|%d from its store", p.name, l.id, seq)
			return
		}
		if bodies[seq] != m.body {
			o.violate("%s: %s|%d has other content in its store", p.name, l.id, seq)
		}
	}
}

// acked checks that what an instance says is safe is on two disks (I1, G2).
func (o *oracle) acked(i *instance, publisher, seq uint64) {
	if seq == 0 {
		return
	}
	l := o.lives[publisher]
	if l == nil {
		o.violate("%s acknowledges %d of a publisher that does not exist", i.name, seq)
		return
	}
	if seq <= l.safe {
		return // said again
	}
	if has := i.disk.has[publisher]; has < seq {
		o.violate("%s acknowledges %s|%d as safe, its own disk has %d", i.name, l.id, seq, has)
	}
	for _, p := range i.peers {
		if i.async[p.name] {
			continue
		}
		if has := p.disk.counted(publisher); has < seq {
			o.violate("%s acknowledges %s|%d as safe, the disk of %s has %d", i.name, l.id, seq, p.name, has)
		}
	}
	l.safe = max(l.safe, min(seq, uint64(len(l.messages))))
}

// letGo notes that a store lets go of a message as safe.
func (o *oracle) letGo(p *publisher, id string, through uint64) {
	l := o.life(p, id)
	if through > l.safe {
		o.violate("%s lets go of %s|%d, and only %d was acknowledged as safe", p.name, id, through, l.safe)
		through = l.safe
	}
	for seq := l.letGo + 1; seq <= through; seq++ {
		if m := &l.messages[seq-1]; m.topic == topicRefused && !m.refused && o.w.set.retain == 0 {
			o.violate("%s lets go of %s|%d, which was refused, and was not told", p.name, id, seq)
		}
	}
	if through > l.letGo {
		o.w.counts.Safe += through - l.letGo
		l.letGo = through
	}
}

// refused notes that a client was told that a server refused a message.
func (o *oracle) refused(p *publisher, id string, seq uint64) {
	if l := o.life(p, id); seq > 0 && seq <= uint64(len(l.messages)) {
		l.messages[seq-1].refused = true
	}
}

// rejected notes that the application was told of a message that was refused.
func (o *oracle) rejected(p *publisher, id string, seq uint64) {
	l := o.life(p, id)
	switch {
	case seq == 0 || seq > uint64(len(l.messages)):
		o.violate("%s: told that %s|%d was refused, which was never published", p.name, id, seq)
	case l.messages[seq-1].topic != topicRefused && !o.w.damaged:
		o.violate("%s: %s|%d was refused", p.name, id, seq)
	case l.messages[seq-1].rejected && !p.memory:
		// told again after a restart or by the other server before the store
		// had let it go: the handler may hear it twice, never not at all
	default:
		l.messages[seq-1].rejected = true
	}
}

// subscribes makes a subscriber known.
func (o *oracle) subscribes(s *subscriber) {
	o.readers[s] = &reader{places: make(map[uint64]*place)}
}

// started notes a new life of a subscriber's process.
func (o *oracle) started(s *subscriber) {
	if o.history != nil {
		o.history.lives[s] = append(o.history.lives[s], nil)
	}
	for _, p := range o.readers[s].places {
		p.last = 0
	}
}

func (o *oracle) based(s *subscriber, base bookmark.Vector) {
	r := o.readers[s]
	if r.based {
		o.violate("%s: a subscription that is known got another base", s.name)
	}
	r.based, r.base = true, maps.Clone(base)
	if o.history != nil && s.start != epochText {
		o.history.begins[s] = int64(o.w.now)
	}
}

func (r *reader) place(publisher, seq uint64) *place {
	p := r.places[publisher]
	if p == nil {
		p = &place{}
		r.places[publisher] = p
	}
	for uint64(len(p.state)) <= seq {
		p.state = append(p.state, make([]uint8, max(64, len(p.state)))...)
	}
	return p
}

// wasPublished reports whether a message is one that was published.
func (o *oracle) wasPublished(b bookmark.Bookmark) bool {
	l := o.lives[b.Publisher]
	return l != nil && b.Sequence > 0 && b.Sequence <= uint64(len(l.messages))
}

// checkBody checks that what was delivered is what was published.
func (o *oracle) checkBody(s *subscriber, b bookmark.Bookmark, body uint64) {
	l := o.lives[b.Publisher]
	if !o.wasPublished(b) {
		o.violate("%s: got %v, which was never published", s.name, b)
		return
	}
	m := &l.messages[b.Sequence-1]
	if m.body != body || !s.wants(m.topic) {
		o.violate("%s: %v came as %d, it is %d to %s", s.name, b, body, m.body, m.topic)
	}
}

// handed checks that a message is handed over once, in order (G6).
func (o *oracle) handed(s *subscriber, b bookmark.Bookmark) {
	if !o.wasPublished(b) {
		return // said when it came; there is no place for any number
	}
	p := o.readers[s].place(b.Publisher, b.Sequence)
	o.w.counts.Delivered++
	switch {
	case b.Sequence == p.last:
		o.violate("%s: %v was handed over twice", s.name, b)
	case b.Sequence < p.last:
		o.violate("%s: %v came behind %d", s.name, b, p.last)
	case p.state[b.Sequence]&discarded != 0:
		o.violate("%s: %v was handed over again, though it was discarded", s.name, b)
	}
	p.last = b.Sequence
	if o.history != nil {
		o.history.handed(s, b, o.lives[b.Publisher].messages[b.Sequence-1].body)
	}
}

func (o *oracle) discarded(s *subscriber, b bookmark.Bookmark) {
	if !o.wasPublished(b) {
		return
	}
	o.readers[s].place(b.Publisher, b.Sequence).state[b.Sequence] |= discarded
	if o.history != nil {
		o.history.discarded(s, b)
	}
}

// died notes that a subscriber's process has died.
func (o *oracle) died(s *subscriber, forgets bool) {
	if o.history != nil {
		o.history.died(s, forgets, s.kept)
	}
	if forgets {
		o.forgot(s, s.kept)
	}
}

// forgot notes that a process died with discards that were not on its disk:
// what is above kept may come again.
func (o *oracle) forgot(s *subscriber, kept bookmark.Vector) {
	for publisher, p := range o.readers[s].places {
		for seq := kept[publisher] + 1; seq < uint64(len(p.state)); seq++ {
			p.state[seq] &^= discarded
		}
	}
}

// missed notes a gap that a subscriber was told of.
func (o *oracle) missed(s *subscriber, publisher, from, to uint64) {
	if last := (bookmark.Bookmark{Publisher: publisher, Sequence: to}); !o.wasPublished(last) {
		o.violate("%s was told of a gap up to %v, which was never published", s.name, last)
		return
	}
	if o.history != nil {
		o.history.gaps[s] = append(o.history.gaps[s], checker.Gap{Publisher: publisher, From: from, Through: to})
	}
	p := o.readers[s].place(publisher, to)
	for seq := from; seq <= to; seq++ {
		p.state[seq] |= skipped
	}
}

// incomplete returns a message that a subscriber should have been handed and
// wasn't, given what the instances have.
func (o *oracle) incomplete(s *subscriber, have bookmark.Vector) (l *life, seq uint64) {
	r := o.readers[s]
	for _, l := range o.order {
		end := min(have[l.publisher], uint64(len(l.messages)))
		if o.forgotten(l) {
			continue
		}
		for seq := max(r.base[l.publisher], o.removed(l)) + 1; seq <= end; seq++ {
			m := &l.messages[seq-1]
			if !s.wants(m.topic) {
				continue
			}
			if p := r.place(l.publisher, seq); p.state[seq] == 0 {
				return l, seq
			}
		}
	}
	return nil, 0
}

// forgotten reports whether an instance does not know a life any more (R10).
// Who has not read it by then is not told.
func (o *oracle) forgotten(l *life) bool {
	for _, i := range o.w.instances[:2] {
		s, known := i.j.State(l.publisher)
		if (!known || s.Have == 0 || s.Have < l.safe) && o.w.set.retain > 0 {
			return true
		}
	}
	return false
}

// removed is how far a life is gone from the journals of a run with retention
// and damage: what is told of a floor to who has nothing of a life depends on
// a running CRC, which damage may have made unknown.
func (o *oracle) removed(l *life) (through uint64) {
	if o.w.set.retain == 0 || !o.w.damaged {
		return 0
	}
	for _, i := range o.w.instances[:2] {
		s, _ := i.j.State(l.publisher)
		through = max(through, s.Floor)
	}
	return through
}

func (s *subscriber) wants(topic string) bool {
	return topic != topicRefused && topic != topicNothing && (s.topic == topicAll || s.topic == topic)
}

// topicAll is the pattern of every topic.
const topicAll = ".*"

// judge reads the disks and checks what is said of journals (G3, G4, G5) and
// of messages (G1, G2).
func (o *oracle) judge() {
	var first *contents
	for _, i := range o.w.instances {
		c := o.read(i)
		if i.spare {
			continue
		}
		o.checkStored(i, c)
		if first == nil {
			first = c
		} else {
			o.compare(first, c)
		}
	}
}

// around says what the disks of the pair hold of a publisher near a sequence.
func (o *oracle) around(l *life, seq uint64) (text string) {
	for _, i := range o.w.instances[:2] {
		c := o.read(i)
		text += fmt.Sprintf("; %s has it up to %d, floor %d", c.name, c.have[l.publisher], c.floor[l.publisher])
		for _, s := range c.messages[l.publisher] {
			if s.seq+2 > seq && s.seq < seq+2 || s.kind == journal.Gone {
				text += fmt.Sprintf(", %d of kind %x", s.seq, s.kind)
			}
		}
	}
	return text
}

// contents are what a journal's disk holds.
type contents struct {
	name  string
	have  bookmark.Vector
	floor bookmark.Vector
	// By publisher, the bodies in order with their sequences.
	messages map[uint64][]stored
}

type stored struct {
	seq, prev, body uint64
	kind            journal.Kind
}

// onDisk returns how far the disk of an instance has each publisher, whatever
// its process says.
func (o *oracle) onDisk(i *instance) bookmark.Vector {
	j, err := o.open(i)
	if err != nil {
		o.violate("%s: its journal can't be read: %v", i.name, err)
		return bookmark.Vector{}
	}
	_, v := j.DurableVector()
	return v
}

// open opens what would be left of a journal if the power went now.
func (o *oracle) open(i *instance) (*journal.Journal, error) {
	return journal.Open(journal.Options{
		FS: i.fs.Image(memfs.Durable), Dir: dataDir, SegmentBytes: o.w.set.segment, MaxMessage: 1 << 16,
		Stepped: true, Now: o.w.clock, SetAside: i.j != nil && i.j.Damage() != nil,
	})
}

// read reads what would be left of a journal if the power went now.
func (o *oracle) read(i *instance) *contents {
	c := &contents{name: i.name, have: bookmark.Vector{}, floor: bookmark.Vector{}, messages: make(map[uint64][]stored)}
	j, err := o.open(i)
	if err != nil {
		o.violate("%s: its journal can't be read: %v", i.name, err)
		return c
	}
	for _, s := range j.States() {
		c.have[s.Publisher], c.floor[s.Publisher] = s.Have, s.Floor
	}
	f := j.Follow(0, journal.Appended)
	defer f.Close()
	for r := (journal.Record{}); ; {
		more, err := f.Next(&r)
		if err != nil {
			o.violate("%s: its journal can't be read: %v", i.name, err)
		}
		if !more || err != nil {
			return c
		}
		o.take(c, &r)
	}
}

// take adds a record and checks its place: once, in order, without holes.
func (o *oracle) take(c *contents, r *journal.Record) {
	list := c.messages[r.Publisher]
	last := c.floor[r.Publisher]
	if n := len(list); n > 0 {
		last = list[n-1].seq
	}
	s := stored{seq: r.Sequence, prev: r.Prev, kind: r.Kind}
	switch {
	case r.Kind == journal.Gone:
		if r.Sequence < last && len(list) > 0 {
			o.violate("%s: %d is gone up to %d behind %d", c.name, r.Publisher, r.Sequence, last)
		}
		c.messages[r.Publisher] = append(list, s)
		return
	case len(list) > 0 && r.Sequence <= last:
		o.violate("%s has %d|%d behind %d", c.name, r.Publisher, r.Sequence, last)
	case len(list) > 0 && r.Prev > last:
		o.violate("%s has %d|%d behind %d, and %d is missing", c.name, r.Publisher, r.Sequence, last, r.Prev)
	}
	if r.Kind == journal.Message {
		s.body = binary.LittleEndian.Uint64(r.Body)
	}
	c.messages[r.Publisher] = append(list, s)
}

// checkStored checks that a journal has what was published, unless its loss is excused.
func (o *oracle) checkStored(i *instance, c *contents) {
	for _, l := range o.order {
		list, at := c.messages[l.publisher], 0
		if c.have[l.publisher] > uint64(len(l.messages)) {
			o.violate("%s has %s up to %d, and %d were published", i.name, l.id, c.have[l.publisher], len(l.messages))
			continue
		}
		if l.forgettable(o.w, c.have[l.publisher]) {
			continue
		}
		gone := c.floor[l.publisher]
		for n := range l.messages {
			m, seq := &l.messages[n], uint64(n)+1
			for at < len(list) && list[at].seq < seq {
				if list[at].kind == journal.Gone {
					gone = max(gone, list[at].seq)
				}
				at++
			}
			found := at < len(list) && list[at].seq == seq
			switch {
			case found && list[at].kind == journal.Gone && (m.rejected || m.excused || o.w.set.retain > 0):
			case found && list[at].kind != kindOf(m):
				o.violate("%s has %s|%d to %s as %v", i.name, l.id, seq, m.topic, list[at].kind)
			case found && m.kept() && list[at].body != m.body:
				o.violate("%s has %s|%d with other content", i.name, l.id, seq)
			case !found && (seq > gone || o.w.set.retain == 0) && !m.excused && !m.rejected:
				o.violate("LOST: %s does not have %s|%d to %s (safe %d, let go %d, have %d, floor %d)",
					i.name, l.id, seq, m.topic, l.safe, l.letGo, c.have[l.publisher], gone)
				return
			}
		}
	}
}

// forgettable reports whether retention may have removed all of a life, and an
// instance have forgotten it (R10), only to hear of it again from one whose
// disk was rolled back: there is retention, and nothing of it is still to be had.
func (l *life) forgettable(w *world, have uint64) bool {
	if w.set.retain == 0 || have > 0 && have >= l.safe {
		return false
	}
	for n := int(l.safe); n < len(l.messages); n++ {
		if m := &l.messages[n]; !m.excused && !m.rejected {
			return false
		}
	}
	return true
}

func (m *message) kept() bool { return kindOf(m) == journal.Message }

func kindOf(m *message) journal.Kind {
	switch m.topic {
	case topicRefused:
		return journal.Tombstone
	case topicNothing:
		return journal.Empty
	}
	return journal.Message
}

// compare checks that two journals hold the same, as far as retention has left it.
func (o *oracle) compare(a, b *contents) {
	publishers := slices.Sorted(maps.Keys(a.messages))
	for p := range b.messages {
		if _, both := a.messages[p]; !both {
			publishers = append(publishers, p)
		}
	}
	for _, p := range publishers {
		if l := o.lives[p]; l != nil && l.forgettable(o.w, min(a.have[p], b.have[p])) {
			continue
		}
		floor := max(a.goneTo(p), b.goneTo(p))
		la, lb := above(a.messages[p], floor), above(b.messages[p], floor)
		if !slices.Equal(la, lb) {
			o.violate("%s and %s differ in %d above %d: %s", a.name, b.name, p, floor, difference(la, lb))
			return
		}
	}
}

// goneTo is how far a publisher's messages are gone.
func (c *contents) goneTo(p uint64) uint64 {
	gone := c.floor[p]
	for _, s := range c.messages[p] {
		if s.kind == journal.Gone {
			gone = max(gone, s.seq)
		}
	}
	return gone
}

// above returns what stands above a floor, but for tombstones: a refusal that
// only one instance knows of is none of the other's (R14).
func above(list []stored, floor uint64) []stored {
	list = slices.DeleteFunc(slices.Clone(list), func(s stored) bool { return s.seq <= floor || s.kind == journal.Tombstone })
	for n := range list {
		list[n].prev = 0 // who knows of a refusal names it, who doesn't names the one before
	}
	return list
}

// difference says where two lists begin to differ.
func difference(a, b []stored) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	at := func(list []stored) any {
		if n < len(list) {
			return list[n]
		}
		return "nothing"
	}
	return fmt.Sprintf("at %d of %d and %d: %v, %v", n, len(a), len(b), at(a), at(b))
}
