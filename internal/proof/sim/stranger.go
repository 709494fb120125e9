package sim

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// The secret of the links, and one that is not.
var (
	linkSecret  = []byte("the secret of the simulated links")[:32]
	otherSecret = []byte("another secret than that of links")[:32]
)

// stranger makes a fault: an instance outside the group links with one of the pair. Its
// journal has messages that no publisher published.
func stranger(secret []byte, names ...string) func(*world) bool {
	return func(w *world) bool {
		i, name := w.oneOfPair(), names[w.chaos.IntN(len(names))]
		if !i.alive || i.stopped || name == i.name || len(w.oracle.order) == 0 {
			return false
		}
		x := &instance{process: process{w: w, name: "stranger", foreign: true}, fs: memfs.New(), peers: []*instance{i}}
		x.disk, x.syncTime = diskTruth{durable: bookmark.Vector{}}, time.Millisecond
		x.linkName, x.secret = name, secret
		w.logf("FAULT a stranger as %s links with %s", x.linkName, i.name)
		x.start()
		x.forgeJournal(w.oracle.order[w.chaos.IntN(len(w.oracle.order))])
		w.later(500*time.Millisecond, 3*time.Second, func() { x.crash(memfs.KeepAll, false) })
		return true
	}
}

// forgeJournal has a stranger's journal say that a life has gone far.
func (i *instance) forgeJournal(l *life) {
	identity := bookmark.IdentityOfLife(l.id)
	far := uint64(len(l.messages)) + 1<<20
	for _, r := range []journal.Record{
		{Kind: journal.Gone, Publisher: identity.ID, Check: identity.Check, Sequence: far},
		{Kind: journal.Message, Publisher: identity.ID, Sequence: far + 1, Prev: far, Topic: []byte(topicA), Body: make([]byte, 8)},
	} {
		_, err := i.j.Append(&r)
		i.w.oracle.checkError(err, i.name, "its journal")
	}
}

// maxRecordedFrames is how many frames of the beginning of a link are recorded.
const maxRecordedFrames = 12

// A recording is the first frames that an instance has sent on a link that it dialled.
type recording struct {
	to     *instance
	frames [][]byte
}

// replayLink sends an instance the frames of an earlier link, in their order or in
// another.
func (w *world) replayLink() bool {
	if len(w.recordings) == 0 {
		return false
	}
	r := w.recordings[w.chaos.IntN(len(w.recordings))]
	if !r.to.alive || r.to.stopped {
		return false
	}
	frames := slices.Clone(r.frames)
	if w.chaos.IntN(2) == 0 {
		w.chaos.Shuffle(len(frames), func(a, b int) { frames[a], frames[b] = frames[b], frames[a] })
	}
	w.logf("FAULT a link to %s is replayed", r.to.name)
	x := &process{w: w, name: "stranger", foreign: true}
	x.beginRun()
	s := w.connect(x, &r.to.process, func(s *endpoint) { r.to.attachLink(s, "") })
	for _, f := range frames {
		s.send(f)
	}
	w.later(500*time.Millisecond, 3*time.Second, func() { w.closeConnections(x, false); x.endRun() })
	return true
}

// recordLink begins a recording of a link that is dialled; the latest few are kept.
func (i *instance) recordLink(s *endpoint) *recording {
	w := i.w
	for _, to := range w.instances {
		if &to.process != s.other.process {
			continue
		}
		r := &recording{to: to}
		w.recordings = append(w.recordings, r)
		w.recordings = w.recordings[max(0, len(w.recordings)-maxRecordings):]
		return r
	}
	return nil
}

// maxRecordings is how many links are recorded.
const maxRecordings = 8
