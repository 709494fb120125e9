package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An oracle knows the published messages, the promises and the content of each disk, and
// reports each broken promise. It never asks a server. It watches the events that leave
// no trace: acks, and messages that stores keep and let go of. It keeps the history of
// the run for the checker, which judges the rest.
type oracle struct {
	w            *world
	lives        map[uint64]*life // by publisher
	order        []*life
	readers      map[*subscriber]*reader
	forgerLimits map[uint64]uint64 // publishers of forgers, and how far they may go
	diskLost     bool              // an instance has lost what its disk had
	revived      []revival         // the restored images
	differing    uint64            // numbers that forgers have sent with other content
	violations   []string
}

// A revival is the time of a restored image, and that of its restoration.
type revival struct{ taken, restored time.Duration }

// A life is one run of sequences of a publish store.
type life struct {
	id                string
	publisher         uint64
	owner             *publisher
	messages          []*message   // the first has sequence 1
	synced            int          // of these, safe against a power cut in the publisher's store
	safe              uint64       // highest sequence acknowledged as safe
	letGo             uint64       // highest sequence its store has let go of as safe
	publishedAtForget uint64       // published when an instance forgot it
	lost              []loss       // with restored images
	lossReports       []lossReport // to its publisher
	lostUnknown       uint64       // up to here it was lost with all that was known of it
	publishedAtErase  uint64       // published when images without it were restored
	publishedAtOpen   uint64       // published when its store was last opened: all of it may have been sent

	unowned map[*instance]bool // instances that have it without an owner
}

// A message is one for which an application's Publish returned nil. N is its body. Its
// fate is unknown if the application was told of its refusal, or if its publisher lost it
// before it was safe in a way that G1 does not cover, such as the end of a process with a
// memory store.
type message struct {
	checker.Publication
	refusalTold bool // the application was told that a server refused it

	taken      bool      // an instance has accepted it from a session
	denied     []verdict // of instances that have rejected it as not entitled
	wasDenied  bool      // one has, perhaps on a disk that is lost
	toldDenied bool      // the application was told so
	toldBoot   int       // of the publisher's machine, when it was
}

func (o *oracle) init(w *world) {
	o.w, o.lives, o.readers, o.forgerLimits = w, make(map[uint64]*life), make(map[*subscriber]*reader), make(map[uint64]uint64)
}

// maxViolations is enough to recognise the fault.
const maxViolations = 20

func (o *oracle) violate(format string, args ...any) {
	text := fmt.Sprintf("%.6fs ", o.w.now.Seconds()) + fmt.Sprintf(format, args...)
	o.w.logf("VIOLATION %s", text)
	if len(o.violations) < maxViolations {
		o.violations = append(o.violations, text)
	}
}

// checkError says that something failed that must not.
func (o *oracle) checkError(err error, name, subject string) {
	if err != nil {
		o.violate("%s: %s: %v", name, subject, err)
	}
}

// accepted notes that a store took a message.
func (o *oracle) accepted(p *publisher, id string, seq uint64, topic string, body uint64) {
	l := o.life(p, id)
	if seq != uint64(len(l.messages))+1 {
		o.violate("%s: message %d of %s follows %d", p.name, seq, id, len(l.messages))
		return
	}
	m := &message{Publication: checker.Publication{
		App: p.name, N: int(body), Topic: topic, Kind: kindOf(topic), Body: bodyText(body),
		Publisher: l.publisher, Sequence: seq, Fate: checker.Accepted, PublishedAt: int64(o.w.now),
	}}
	l.messages = append(l.messages, m)
	if p.syncAlways {
		l.synced = len(l.messages)
	}
	o.w.counts.Published++
}

// kindOf is the kind of the records that stand for a message to a topic.
func kindOf(topic string) journal.Kind {
	switch topic {
	case topicRefused:
		return journal.Tombstone
	case topicDevnull:
		return journal.Empty
	}
	return journal.Message
}

func (o *oracle) life(p *publisher, id string) *life {
	h := publisherOf(id)
	l := o.lives[h]
	if l == nil {
		l = &life{id: id, publisher: h, owner: p, unowned: make(map[*instance]bool)}
		o.lives[h] = l
		o.order = append(o.order, l)
	}
	return l
}

// message returns a message, nil if it was never published.
func (l *life) message(seq uint64) *message {
	if seq == 0 || seq > uint64(len(l.messages)) {
		return nil
	}
	return l.messages[seq-1]
}

// livesOf returns the lives of a publisher.
func (o *oracle) livesOf(p *publisher) (lives []*life) {
	for _, l := range o.order {
		if l.owner == p {
			lives = append(lives, l)
		}
	}
	return lives
}

// storeSynced notes that a store has synced.
func (o *oracle) storeSynced(p *publisher) {
	for _, l := range o.livesOf(p) {
		l.synced = len(l.messages)
	}
}

// publisherDied notes that a publisher's process has ended, and which messages may be
// lost with it.
func (o *oracle) publisherDied(p *publisher, power bool) {
	for _, l := range o.livesOf(p) {
		from := len(l.messages)
		switch {
		case p.memoryStore:
			from = 0
		case power:
			from = l.synced
		}
		l.excuse(from)
	}
}

// excuse allows messages after the first few to be missing, as far as they
// were not safe.
func (l *life) excuse(from int) {
	for n := max(from, int(l.safe)); n < len(l.messages); n++ {
		l.messages[n].Fate = checker.Unknown
	}
}

// storeOpened checks that a store still has the messages that it must keep (G1).
func (o *oracle) storeOpened(p *publisher) {
	kept := make(map[*life][]uint64)
	lives := p.store.Lives()
	for n, l := range lives {
		known := o.life(p, l.ID)
		kept[known], known.publishedAtOpen = o.bodies(p, known), uint64(len(known.messages))
		// A power cut may take the end of a life; its numbers must not be given again.
		if given := len(known.messages); l.Last < uint64(given) && n == len(lives)-1 {
			o.violate("%s: %s goes on from %d although %d was given out", p.name, l.ID, l.Last, given)
		}
	}
	for _, l := range o.livesOf(p) {
		o.checkKept(p, l, kept[l])
	}
}

// bodies returns the messages that a store has of a life, by sequence.
func (o *oracle) bodies(p *publisher, l *life) []uint64 {
	bodies := make([]uint64, len(l.messages)+1)
	c, err := p.store.Cursor(l.id, 0)
	if err != nil {
		o.violate("%s: cursor: %v", p.name, err)
		return nil
	}
	defer c.Close()
	for m := (pubstore.Message{}); ; {
		more, err := c.Next(&m)
		if err != nil {
			o.violate("%s: read the store: %v", p.name, err)
		}
		if !more || err != nil {
			return bodies
		}
		if l.message(m.Sequence) == nil {
			o.violate("%s: %s|%d was never published", p.name, l.id, m.Sequence)
			return bodies
		}
		bodies[m.Sequence] = binary.LittleEndian.Uint64(m.Body)
	}
}

func (o *oracle) checkKept(p *publisher, l *life, bodies []uint64) {
	for _, m := range l.messages {
		if m.Fate != checker.Accepted || m.Sequence <= l.safe {
			continue
		}
		if int(m.Sequence) >= len(bodies) || bodies[m.Sequence] == 0 {
			o.violate("%s: lost %s|%d from its store", p.name, l.id, m.Sequence)
			return
		}
		if bodies[m.Sequence] != uint64(m.N) {
			o.violate("%s: %s|%d has other content in its store", p.name, l.id, m.Sequence)
		}
	}
}

// acked checks that a message is on two disks when an instance acknowledges it as safe
// (I1, G2).
func (o *oracle) acked(i *instance, publisher, seq uint64) {
	if seq == 0 {
		return
	}
	l := o.lives[publisher]
	if allowed, forged := o.forgerLimits[publisher]; forged && seq <= allowed {
		return
	}
	if l == nil {
		o.violate("%s acknowledges %d of a publisher that does not exist", i.name, seq)
		return
	}
	if seq <= l.safe {
		return // said again
	}
	if i.spare {
		o.violate("%s, to which nothing is replicated back, acknowledges %s|%d as safe", i.name, l.id, seq)
	}
	if has := i.disk.durable[publisher]; has < seq {
		o.violate("%s acknowledges %s|%d as safe but its own disk has %d", i.name, l.id, seq, has)
	}
	for _, p := range i.peers {
		if i.async[p.name] {
			continue
		}
		if has := p.disk.trusted()[publisher]; has < seq {
			o.violate("%s acknowledges %s|%d as safe but the disk of %s has %d", i.name, l.id, seq, p.name, has)
		}
	}
	l.safe = max(l.safe, min(seq, uint64(len(l.messages))))
}

// letGo notes that a store lets go of a message as safe.
func (o *oracle) letGo(p *publisher, id string, through uint64) {
	l := o.life(p, id)
	if through > l.safe {
		o.violate("%s lets go of %s|%d although only %d was acknowledged as safe", p.name, id, through, l.safe)
		through = l.safe
	}
	for seq := l.letGo + 1; seq <= through; seq++ {
		if m := l.messages[seq-1]; (m.Topic == topicRefused || len(m.denied) > 0) && !m.refusalTold && o.w.settings.retain == 0 {
			o.violate("%s lets go of the refused %s|%d without being told", p.name, id, seq)
		}
	}
	if through > l.letGo {
		o.w.counts.Safe += through - l.letGo
		l.letGo = through
	}
}

// rejected notes that the application was told of a refused message, perhaps again: after
// a restart, or by the other server.
func (o *oracle) rejected(p *publisher, r *clientcore.Rejection) {
	m := o.life(p, r.Life).message(r.Sequence)
	// While an instance has more of a life than its store has given out, a message that
	// it can no longer compare is not known to be the store's (R1).
	unknown := r.Reason == wire.ReasonOutcomeUnknown && (p.rolledBack || r.Sequence <= o.life(p, r.Life).unknownThrough() || o.hasMoreThanStore(p, r.Life))
	switch {
	case m == nil:
		o.violate("%s: was told that %s|%d was refused although it was never published", p.name, r.Life, r.Sequence)
	case r.Reason == wire.ReasonNotEntitled && len(m.denied) > 0:
		m.Fate, m.refusalTold, m.toldDenied, m.toldBoot = checker.Unknown, true, true, p.boot
	case m.Topic != topicRefused && !o.w.damaged && !unknown:
		o.violate("%s: %s|%d was refused: %s", p.name, r.Life, r.Sequence, r.Reason)
	default:
		m.Fate, m.refusalTold = checker.Unknown, true
	}
}

// unknownThrough returns the highest number of a life whose outcome may be reported as
// unknown. The group cannot tell a forgotten life from one that the images did not have,
// and a store that was not closed does not know how far it was sent (R10).
func (l *life) unknownThrough() uint64 {
	if l.publishedAtForget == 0 && l.publishedAtErase == 0 {
		return 0
	}
	return max(l.publishedAtForget, l.publishedAtErase, l.publishedAtOpen)
}

// knownLives returns the lives that an instance knows.
func (o *oracle) knownLives(i *instance) (lives []*life) {
	for _, l := range o.order {
		if i.state(l).Have > 0 {
			lives = append(lives, l)
		}
	}
	return lives
}

// noteForgotten notes which of these lives an instance has forgotten. Their messages are
// gone for a subscriber that has not read them, and no store knows which of its messages
// were accepted.
func (o *oracle) noteForgotten(i *instance, lives []*life) {
	for _, l := range lives {
		if i.j != nil && i.state(l).Have == 0 {
			o.w.logf("%s forgets %s", i.name, l.id)
			l.publishedAtForget = uint64(len(l.messages))
		}
	}
}

// hasMoreThanStore reports whether an instance has more of a life than its store has given out.
func (o *oracle) hasMoreThanStore(p *publisher, life string) bool {
	lives := p.store.Lives()
	n := slices.IndexFunc(lives, func(l pubstore.Life) bool { return l.ID == life })
	return n >= 0 && slices.ContainsFunc(o.w.instances, func(i *instance) bool { return i.state(o.life(p, life)).Have > lives[n].Last })
}

// forgotten reports whether an instance has forgotten a life (R10). A subscriber that has
// not read it by then is not told.
func (o *oracle) forgotten(l *life) bool {
	for _, i := range o.w.instances[:2] {
		if s := i.state(l); (s.Have == 0 || s.Have < l.safe) && o.w.settings.retain > 0 {
			return true
		}
	}
	return false
}

// state returns an instance's state of a life; zero: it doesn't know it, or is down.
func (i *instance) state(l *life) (s journal.PublisherState) {
	if i.j != nil {
		s, _ = i.j.State(l.publisher)
	}
	return s
}

// removedThrough is how far a life is gone from the journals of a run with retention and
// damage. A subscriber that has nothing of a life learns of its floor through a running
// CRC, which damage may have made unknown.
func (o *oracle) removedThrough(l *life) (through uint64) {
	if o.w.settings.retain == 0 || !o.w.damaged {
		return l.lostUnknown
	}
	for _, i := range o.w.instances[:2] {
		through = max(through, i.state(l).Floor)
	}
	return through
}

// forgettable reports whether retention may have removed all of a life, and an
// instance have forgotten it (R10), only to hear of it again from one whose
// disk was rolled back: there is retention, and no store or journal needs to have anything of it.
func (l *life) forgettable(w *world, have uint64) bool {
	if w.settings.retain == 0 || have > 0 && have >= l.safe {
		return false
	}
	for _, m := range l.messages[l.safe:] {
		if m.Fate == checker.Accepted {
			return false
		}
	}
	return true
}

// onDisk returns how far the disk of an instance has each publisher, whatever
// its process says.
func (o *oracle) onDisk(i *instance) bookmark.Vector {
	v := bookmark.Vector{}
	o.readDisk(i, func(j *journal.Journal) error {
		_, v = j.DurableVector()
		return nil
	})
	return v
}

// readDisk calls f with the journal as a power cut at this moment would leave it.
func (o *oracle) readDisk(i *instance, f func(*journal.Journal) error) {
	o.readDamagedDisk(i, i.j != nil && i.j.Damage() != nil, f)
}

// readDamagedDisk is read of a journal that may be damaged.
func (o *oracle) readDamagedDisk(i *instance, damaged bool, f func(*journal.Journal) error) {
	j, err := journal.Open(journal.Options{
		FS: i.fs.Image(memfs.Durable), Dir: dataDir, SegmentBytes: o.w.settings.segment,
		Stepped: true, Now: o.w.clock, SetAside: damaged,
	})
	if err == nil {
		err = f(j)
	}
	if err != nil {
		o.violate("%s: its journal can't be read: %v", i.name, err)
	}
}
