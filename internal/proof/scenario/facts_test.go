package scenario_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
)

// number takes a body apart: its publisher and its number there.
func number(text string) (publisher string, n int, ok bool) {
	i := strings.LastIndexByte(text, '-')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(text[i+1:])
	return text[:i], n, err == nil
}

// A stretch is messages of one publisher one after the other.
type stretch struct {
	publisher string
	from, to  int
}

// runs merges consecutive messages. A text that is no message, such as a gap, is a run of
// its own.
func mergeRuns(texts []string) []stretch {
	var all []stretch
	for _, text := range texts {
		publisher, n, ok := number(text)
		if !ok {
			all = append(all, stretch{publisher: text})
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].publisher == publisher && all[last].to == n-1 {
			all[last].to = n
			continue
		}
		all = append(all, stretch{publisher, n, n})
	}
	return all
}

// spans prints messages in their order: pub 1..5 7, q 1..3, pub 6.
func spans(texts []string) string {
	var b strings.Builder
	last := ""
	for _, r := range mergeRuns(texts) {
		switch {
		case r.publisher != last && last != "":
			fmt.Fprintf(&b, ", %s", r.publisher)
		case r.publisher != last:
			b.WriteString(r.publisher)
		}
		last = r.publisher
		switch {
		case r.to == 0:
		case r.from == r.to:
			fmt.Fprintf(&b, " %d", r.from)
		default:
			fmt.Fprintf(&b, " %d..%d", r.from, r.to)
		}
	}
	if b.Len() == 0 {
		return "nothing"
	}
	return b.String()
}

// byPublisher is spans for messages of which only the order of each
// publisher's is promised. "last" is the last one that a load has published.
func (w *world) byPublisher(texts []string) string {
	of := make(map[string][]string)
	for _, text := range texts {
		publisher, _, ok := number(text)
		if !ok {
			return spans(texts) // a gap, whose place is told
		}
		of[publisher] = append(of[publisher], text)
	}
	var parts []string
	for _, publisher := range slices.Sorted(maps.Keys(of)) {
		part := spans(of[publisher])
		if a := w.apps[publisher]; a != nil && a.load != nil && len(a.accepted) > 1 {
			last := strings.TrimPrefix(a.accepted[len(a.accepted)-1], publisher+"-")
			if s, ok := strings.CutSuffix(part, ".."+last); ok {
				part = s + "..last"
			}
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// acked prints the state of publish stores: messages let go as safe, messages kept
// because only one disk has them, and messages kept because no disk may have them.
func (w *world) acked(c *command) string {
	w.TB.Helper()
	var b strings.Builder
	for _, name := range c.names {
		store := w.app(name).Store
		life, usage := store.Lives(), store.Usage()
		fmt.Fprintf(&b, "%s: safe up to %d", name, life[len(life)-1].Acked)
		if usage.Single > 0 {
			fmt.Fprintf(&b, ", %d single", usage.Single)
		}
		if n := usage.Messages - usage.Single; n > 0 {
			fmt.Fprintf(&b, ", %d not acknowledged", n)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// snapshot returns a copy of an instance's disk as it is now, power on.
func snapshot(disk *memfs.FS) *memfs.FS {
	image := memfs.New()
	for _, name := range disk.Names() {
		if b, err := disk.ReadFile(name); err == nil {
			image.WriteFile(name, b)
		}
	}
	return image
}

// records returns the records of an instance's journal, alive or dead, in its order.
func (w *world) records(name string) []journal.Record {
	w.TB.Helper()
	n := w.Node(name)
	var all []journal.Record
	err := journals.Dump(snapshot(n.FS), n.Config.Data, func(r *journal.Record) error {
		all = append(all, journal.Record{
			Kind: r.Kind, Publisher: r.Publisher, Sequence: r.Sequence, Prev: r.Prev, Body: slices.Clone(r.Body),
		})
		return nil
	})
	if err != nil {
		w.TB.Errorf("read the journal of %s: %v", name, err)
	}
	return all
}

// A life is the records of one publisher in a journal, in the sense of the guarantees:
// one life of a publish store.
type life struct {
	messages, other []string
	sequences       []string // of the messages, written like these
}

// journal prints the records of journals, for each life of each publisher in the order of
// the journal.
func (w *world) journal(c *command) string {
	w.TB.Helper()
	var b strings.Builder
	for _, name := range c.names {
		fmt.Fprintf(&b, "%s: %s\n", name, w.lives(w.records(name)))
	}
	return b.String()
}

func (w *world) lives(records []journal.Record) string {
	of := make(map[uint64]*life)
	for _, r := range records {
		l := of[r.Publisher]
		if l == nil {
			l = new(life)
			of[r.Publisher] = l
		}
		switch r.Kind {
		case journal.Message:
			l.messages = append(l.messages, body(r.Body))
			publisher, _, _ := number(body(r.Body))
			l.sequences = append(l.sequences, fmt.Sprintf("%s-%d", publisher, r.Sequence))
		case journal.Tombstone:
			for s := r.Prev + 1; s <= r.Sequence; s++ {
				l.other = append(l.other, fmt.Sprintf("refused-%d", s))
			}
		case journal.Elsewhere:
			for s := r.Prev + 1; s <= r.Sequence; s++ {
				l.other = append(l.other, fmt.Sprintf("elsewhere-%d", s))
			}
		case journal.Gone:
			l.other = append(l.other, "gone")
		}
	}
	var parts []string
	for _, l := range of {
		part := w.byPublisher(l.messages)
		if !slices.Equal(l.messages, l.sequences) {
			_, sequences, _ := strings.Cut(spans(l.sequences), " ")
			part += " as " + sequences
		}
		if len(l.other) > 0 {
			part += " (" + spans(l.other) + ")"
		}
		parts = append(parts, part)
	}
	slices.SortFunc(parts, compareParts)
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// compareParts orders lives by the names of their publishers, then by their first numbers.
func compareParts(a, b string) int {
	key := func(s string) (name string, n int) {
		name, rest, _ := strings.Cut(s, " ")
		fmt.Sscanf(rest, "%d", &n) // 0 if there is none
		return name, n
	}
	na, ia := key(a)
	nb, ib := key(b)
	if na != nb {
		return strings.Compare(na, nb)
	}
	return ia - ib
}

// order prints the messages of journals in the order of the journal.
func (w *world) order(c *command) string {
	w.TB.Helper()
	var b strings.Builder
	for _, name := range c.names {
		var texts []string
		for _, r := range w.records(name) {
			if r.Kind == journal.Message {
				texts = append(texts, body(r.Body))
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", name, spans(texts))
	}
	return b.String()
}

// same prints whether two journals hold the same messages of each publisher,
// in the same order (G5).
func (w *world) same(c *command) string {
	w.TB.Helper()
	contents := func(name string) map[uint64][]string {
		of := make(map[uint64][]string)
		for _, r := range w.records(name) {
			if r.Kind == journal.Message {
				of[r.Publisher] = append(of[r.Publisher], fmt.Sprintf("%d %s", r.Sequence, r.Body))
			}
		}
		return of
	}
	if maps.EqualFunc(contents(c.name(0)), contents(c.name(1)), slices.Equal) {
		return "the same messages"
	}
	return "different messages"
}

// status prints the status of instances.
func (w *world) status(c *command) string {
	w.TB.Helper()
	var b strings.Builder
	for _, name := range c.names {
		fmt.Fprintf(&b, "%s: %s\n", name, w.instanceStatus(name))
	}
	return b.String()
}

func (w *world) instanceStatus(name string) string {
	w.TB.Helper()
	n := w.Node(name)
	if n.Server == nil {
		return "not running"
	}
	if stopped(n) {
		var disk *server.DiskError
		if errors.As(n.Server.Err(), &disk) {
			return "has stopped, its disk failed: " + rootCause(n.Server.Err())
		}
		return fmt.Sprintf("has stopped: %v", n.Server.Err())
	}
	st := n.Server.Status()
	said := []string{map[bool]string{true: "serves clients", false: "serves no clients"}[st.Ready && st.Outdated == ""]}
	if st.Cluster == "" {
		said = append(said, "has met no group")
	}
	if st.CatchingUp {
		said = append(said, "has not caught up")
	}
	if st.Single {
		said = append(said, "acks are of one disk")
	}
	if st.Sync == syncstatus.OneWay {
		said = append(said, "does not replicate back")
	}
	if st.Damage != "" {
		said = append(said, "its journal is damaged")
	}
	for _, l := range st.Links {
		said = append(said, link(l))
	}
	return strings.Join(said, ", ")
}

// link prints the state of a link.
func link(l server.LinkStatus) string {
	text := fmt.Sprintf("link to %s: %s", l.Peer, l.State)
	if l.Ack == "downgraded" {
		text += " and downgraded"
	}
	if l.OneWay {
		text += ", one way"
	}
	if l.GivenUp {
		text += " and given up"
	}
	if l.Refused > 0 {
		text += ", has refused records"
	}
	if l.OtherCluster {
		text += ", another cluster was met"
	}
	if l.Diverged > 0 {
		text += ", has diverged"
	}
	return text
}

// sessions prints the instances that have a session of a client name.
func (w *world) sessions(c *command) string {
	w.TB.Helper()
	var on []string
	for _, name := range c.names[1:] {
		for _, s := range w.Node(name).Server.Status().Sessions {
			if s.Name == c.name(0) {
				on = append(on, name)
			}
		}
	}
	if len(on) == 0 {
		return "nowhere"
	}
	return "on " + strings.Join(on, ", ")
}

// gaps prints which messages a subscription is told are gone.
func (w *world) gaps(e *client.GapError) string {
	var parts []string
	for _, g := range e.Gaps {
		parts = append(parts, fmt.Sprintf("[%s: gone %d..%d]", w.publisherOf(g.Publisher), g.From, g.To))
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// publisherOf names the application of a publisher's id.
func (w *world) publisherOf(id uint64) string {
	for name, a := range w.apps {
		if a.Client == nil {
			continue
		}
		for _, l := range a.Store.Lives() {
			if bookmark.IdentityOfLife(l.ID).ID == id {
				return name
			}
		}
	}
	return "a publisher"
}

// endReason returns the error that ended a subscription, in words that are the same in
// every run.
func (w *world) endReason(err error) string {
	var gap *client.GapError
	if errors.As(err, &gap) {
		return w.gaps(gap)
	}
	if errors.Is(err, client.ErrNotReplicated) {
		return "topic is not replicated"
	}
	return bookmarkReason(err)
}

// bookmarkReason does the same for an error of a bookmark store.
func bookmarkReason(err error) string {
	var failed *bookmarkstore.FailedError
	if errors.As(err, &failed) {
		return "the bookmark store has failed"
	}
	return err.Error()
}

// account prints the outcome of all messages that applications have published: each is in
// a journal, or was rejected, or a store keeps it. Any other was swallowed.
func (w *world) account(c *command) string {
	w.TB.Helper()
	in := make(map[string]bool)
	for _, instance := range w.instances {
		for _, r := range w.records(instance) {
			if r.Kind == journal.Message {
				in[body(r.Body)] = true
			}
		}
	}
	var swallowed []string
	for _, name := range c.names {
		a := w.app(name)
		kept := a.kept()
		a.mu.Lock()
		rejected := slices.Clone(a.rejected)
		a.mu.Unlock()
		for _, text := range a.accepted {
			if !in[text] && !slices.Contains(rejected, text) && !slices.Contains(kept, text) {
				swallowed = append(swallowed, text)
			}
		}
	}
	return "swallowed in silence: " + spans(swallowed)
}

// kept returns the messages in the store of a running application.
func (a *app) kept() []string {
	a.w.TB.Helper()
	if a.Client == nil {
		return nil
	}
	var kept []string
	for _, l := range a.Store.Lives() {
		cursor, err := a.Store.Cursor(l.ID, 0)
		if err != nil {
			a.w.TB.Fatal(err)
		}
		defer cursor.Close()
		for {
			var m pubstore.Message
			more, err := cursor.Next(&m)
			if err != nil {
				a.w.TB.Fatal(err)
			}
			if !more {
				break
			}
			kept = append(kept, body(m.Body))
		}
	}
	return kept
}

// size prints whether an instance's journal is as small as it should be:
// size A most=2MiB.
func (w *world) size(c *command) string {
	w.TB.Helper()
	if n := w.Node(c.name(0)).Server.Status().JournalBytes; n > int64(c.bytes("most")) {
		return fmt.Sprintf("%s: %d bytes", c.name(0), n)
	}
	return fmt.Sprintf("%s: at most %s", c.name(0), c.option("most", ""))
}
