package fuseimages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Shared returns an application's database on m that also holds a publish store and a
// bookmark store. Each message is handled in one transaction.
func Shared(m *Mount) crashimages.Subject {
	return crashimages.Subject{Name: "bolt-shared", New: func(seed uint64) crashimages.Model {
		return &sharedModel{m: m, rand: newRand(seed), received: map[uint64]uint64{}, done: map[bookmarkstore.Bookmark]bool{}, acked: map[string]bool{}}
	}}
}

// A sharedModel is an application and the messages that it has handled.
type sharedModel struct {
	m       *Mount
	rand    *rand.Rand
	release func()
	db      *bbolt.DB
	outbox  *pubstore.Bolt
	marks   *bookmarkstore.Bolt
	sub     bookmarkstore.Subscription
	boots   int

	received    map[uint64]uint64 // by publisher: the highest sequence
	outstanding []bookmarkstore.Bookmark
	done        map[bookmarkstore.Bookmark]bool // its transaction was to commit; true: and did
	acked       map[string]bool                 // bodies that the publish store was to let go of
}

// Clone implements crashimages.Model.
func (l *sharedModel) Clone(seed uint64) crashimages.Model {
	return &sharedModel{m: l.m, rand: newRand(seed), boots: l.boots,
		received: maps.Clone(l.received), done: maps.Clone(l.done), acked: maps.Clone(l.acked)}
}

// Open implements crashimages.Model.
func (l *sharedModel) Open(disk *memfs.FS, killed bool) error {
	path, release, err := l.m.Attach(disk, file)
	if err != nil {
		return err
	}
	l.release = release
	if !killed {
		l.boots++
	}
	if l.db, err = boltfile.Open(path, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType}); err != nil {
		return err
	}
	boot := func() (string, error) { return fmt.Sprint("boot ", l.boots), nil }
	if l.outbox, err = pubstore.OpenBoltIn(l.db, "outbox", pubstore.BoltOptions{BootID: boot, CommitInterval: time.Hour}); err != nil {
		return err
	}
	if l.marks, err = bookmarkstore.OpenBoltIn(l.db, "marks", bookmarkstore.BoltOptions{CommitInterval: time.Hour}); err != nil {
		return err
	}
	l.sub, err = l.marks.OpenSubscription("s", bookmarkstore.Query{Topic: "orders"})
	return err
}

// Use implements crashimages.Model.
func (l *sharedModel) Use(steps int) error {
	if err := l.sub.SetBase(bookmarkstore.Vector{}); err != nil {
		return err
	}
	for range steps {
		if err := l.step(l.rand.IntN(12)); err != nil {
			return err
		}
	}
	return nil
}

func (l *sharedModel) step(action int) error {
	switch {
	case action < 4:
		return l.receive()
	case action < 9:
		return l.handle()
	case action < 10:
		return l.acknowledge()
	case action < 11:
		return l.outbox.Renew()
	}
	return l.marks.Sync(context.Background())
}

func (l *sharedModel) receive() error {
	for range 1 + l.rand.IntN(3) {
		p := 1 + l.rand.Uint64N(2)
		l.received[p]++
		b := bookmarkstore.Bookmark{Publisher: p, Sequence: l.received[p]}
		if !l.sub.Receive(b) {
			return crashimages.Violatef("message %v is new and is dropped", b)
		}
		l.outstanding = append(l.outstanding, b)
	}
	return nil
}

var errGivenUp = errors.New("given up")

// handle does all that is to be done for one or two messages, out of order, in a
// transaction, which is given up at times.
func (l *sharedModel) handle() error {
	l.rand.Shuffle(len(l.outstanding), func(i, k int) {
		l.outstanding[i], l.outstanding[k] = l.outstanding[k], l.outstanding[i]
	})
	some := l.outstanding[:min(len(l.outstanding), 1+l.rand.IntN(2))]
	var end error
	if l.rand.IntN(4) == 0 {
		end = errGivenUp
	} else {
		for _, b := range some {
			l.done[b] = false
		}
	}
	err := l.update(func(tx *bbolt.Tx) error {
		for _, b := range some {
			if err := l.handleIn(tx, b); err != nil {
				return err
			}
		}
		return end
	})
	switch {
	case end != nil && errors.Is(err, end):
		return nil
	case err != nil:
		return err
	}
	for _, b := range some {
		l.done[b] = true
	}
	l.outstanding = l.outstanding[len(some):]
	return nil
}

// handled is the application's own bucket: for each handled message the body that was
// published for it. Bodies begin with a number, and the numbers have no gap.
var handled = []byte("handled")

func (l *sharedModel) handleIn(tx *bbolt.Tx, b bookmarkstore.Bookmark) error {
	own, err := tx.CreateBucketIfNotExists(handled)
	if err != nil {
		return err
	}
	n, err := own.NextSequence()
	if err != nil {
		return err
	}
	body := fmt.Appendf(nil, "%d %v %s", n, b, strings.Repeat("x", l.rand.IntN(600)))
	if err := own.Put([]byte(b.String()), body); err != nil {
		return err
	}
	if _, err := l.outbox.AppendTx(tx, "invoices", body); err != nil {
		return err
	}
	return l.marks.DiscardTx(tx, bookmarkstore.MessageRef{Subscription: "s", Bookmark: b})
}

func (l *sharedModel) update(do func(*bbolt.Tx) error) error {
	return boltfile.Guard(l.db.Path(), func() error { return l.db.Update(do) })
}

// acknowledge has the publish store let go of some.
func (l *sharedModel) acknowledge() error {
	lives := l.outbox.Lives()
	life := lives[l.rand.IntN(len(lives))]
	through := life.Acked + l.rand.Uint64N(life.Last-life.Acked+1)
	err := l.published(life.ID, func(m *pubstore.Message) error {
		if m.Sequence <= through {
			l.acked[string(m.Body)] = true
		}
		return nil
	})
	return cmp.Or(err, l.outbox.Discard(life.ID, through))
}

// published calls do for each message that the publish store keeps of a life.
func (l *sharedModel) published(life string, do func(m *pubstore.Message) error) error {
	c, err := l.outbox.Cursor(life, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	for m := new(pubstore.Message); ; {
		more, err := c.Next(m)
		if err != nil || !more {
			return err
		}
		if err := do(m); err != nil {
			return err
		}
	}
}

// Close implements crashimages.Model.
func (l *sharedModel) Close() error {
	return cmp.Or(l.outbox.Close(), l.marks.Close(), l.db.Close())
}

// CheckFailed implements crashimages.Model: the application learns of its own failed
// commit, and ends.
func (l *sharedModel) CheckFailed() error { return nil }

// Kill implements crashimages.Model.
func (l *sharedModel) Kill() {
	if l.outbox != nil {
		l.outbox.Close()
	}
	if l.marks != nil {
		l.marks.Close()
	}
	if l.db != nil {
		l.db.Close()
	}
	if l.release != nil {
		l.release()
	}
}

// Check implements crashimages.Model: of each message everything has been done and it
// does not come again, or nothing has and it does.
func (l *sharedModel) Check() error {
	own, err := l.readOwn()
	if err != nil {
		return err
	}
	if err := l.checkOutbox(own); err != nil {
		return err
	}
	for b, committed := range l.done {
		if _, there := own[b.String()]; committed && !there {
			return crashimages.Violatef("message %v was handled but its changes are missing", b)
		}
	}
	l.outstanding = nil
	was := l.done
	l.done = make(map[bookmarkstore.Bookmark]bool)
	for p, last := range l.received {
		for n := range last {
			b := bookmarkstore.Bookmark{Publisher: p, Sequence: n + 1}
			_, there := own[b.String()]
			_, tried := was[b]
			switch fresh := l.sub.Receive(b); {
			case fresh == there:
				return crashimages.Violatef("message %v: handled is %v but comes again is %v", b, there, fresh)
			case there && !tried:
				return crashimages.Violatef("message %v was rolled back but its changes are there", b)
			case there:
				l.done[b] = true
			default:
				l.outstanding = append(l.outstanding, b)
			}
		}
	}
	return nil
}

// readOwn returns the application's own data: bodies by bookmark.
func (l *sharedModel) readOwn() (map[string]string, error) {
	own, numbers := make(map[string]string), make(map[int]bool)
	err := l.db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(handled)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, body []byte) error {
			var n int
			if _, err := fmt.Sscan(string(body), &n); err != nil {
				return crashimages.Violatef("message %s: %v", key, err)
			}
			own[string(key)], numbers[n] = string(body), true
			return nil
		})
	})
	for n := range len(own) {
		if err == nil && !numbers[n+1] {
			err = crashimages.Violatef("%d messages are handled but none has number %d", len(own), n+1)
		}
	}
	return own, err
}

// checkOutbox compares the published messages with the application's own data.
func (l *sharedModel) checkOutbox(own map[string]string) error {
	bodies := slices.Collect(maps.Values(own))
	kept := make(map[string]bool)
	for _, life := range l.outbox.Lives() {
		last := 0
		err := l.published(life.ID, func(m *pubstore.Message) error {
			var n int
			if _, err := fmt.Sscan(string(m.Body), &n); err != nil || n <= last || kept[string(m.Body)] || !slices.Contains(bodies, string(m.Body)) {
				return crashimages.Violatef("%.30q is published behind number %d, done are %d: %v", m.Body, last, len(own), err)
			}
			last, kept[string(m.Body)] = n, true
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, body := range bodies {
		if !kept[body] && !l.acked[body] {
			return crashimages.Violatef("%.30q was handled but not published", body)
		}
	}
	return nil
}
