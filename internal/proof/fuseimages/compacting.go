package fuseimages

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Compacting returns a queue in a file of its own on m that is filled and
// drained, so that many an open compacts it.
func Compacting(m *Mount) crashimages.Subject {
	return crashimages.Subject{Name: "bolt-compacting", New: func(seed uint64) crashimages.Model {
		return &queueModel{m: m, rand: newRand(seed), kept: map[uint64]bool{}}
	}}
}

// A queueModel is a queue and the required content of its file.
type queueModel struct {
	m       *Mount
	rand    *rand.Rand
	release func()
	db      *bbolt.DB

	next  uint64
	kept  map[uint64]bool // committed
	after map[uint64]bool // if the last transaction, which failed, did commit; or nil
}

// Clone implements crashimages.Model.
func (l *queueModel) Clone(seed uint64) crashimages.Model {
	return &queueModel{m: l.m, rand: newRand(seed), next: l.next, kept: maps.Clone(l.kept), after: maps.Clone(l.after)}
}

var queue = []byte("queue")

// Open implements crashimages.Model.
func (l *queueModel) Open(disk *memfs.FS, _ bool) error {
	path, release, err := l.m.Attach(disk, file)
	if err != nil {
		return err
	}
	l.release = release
	l.db, err = boltfile.OpenPrivate(path, boltfile.Options{Timeout: time.Second, Buckets: []string{string(queue)}, CompactAbove: 32 << 10})
	if err == nil {
		err = boltfile.Guard(path, func() error { return boltfile.MakeDurable(l.db) })
	}
	return err
}

// Check implements crashimages.Model.
func (l *queueModel) Check() error {
	found := map[uint64]bool{}
	err := boltfile.Guard(l.db.Path(), func() error {
		return l.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(queue)
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				n := binary.BigEndian.Uint64(k)
				if found[n] = true; len(v) == 0 || binary.BigEndian.Uint64(v) != n {
					return crashimages.Violatef("message %d is not as it was", n)
				}
				return nil
			})
		})
	})
	if err == nil && !maps.Equal(found, l.kept) && (l.after == nil || !maps.Equal(found, l.after)) {
		err = crashimages.Violatef("it holds %v, want %v or %v", found, l.kept, l.after)
	}
	l.kept, l.after = found, nil
	return err
}

// Use implements crashimages.Model. A round has the changes of several steps of others.
func (l *queueModel) Use(steps int) error {
	for range (steps + 5) / 6 {
		err := l.add(8 + l.rand.IntN(6))
		if err == nil {
			err = l.drain(l.rand.IntN(4))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds messages, of 4 KiB and thus a page at least, or a small one.
func (l *queueModel) add(n int) error {
	after := maps.Clone(l.kept)
	return l.update(after, func(b *bbolt.Bucket) error {
		for i := range n {
			l.next++
			after[l.next] = true
			size := 4096
			if i == n-1 {
				size = 100
			}
			value := binary.BigEndian.AppendUint64(make([]byte, 0, size), l.next)
			if err := b.Put(value, value[:size]); err != nil {
				return err
			}
		}
		return nil
	})
}

// drain removes all but the newest messages.
func (l *queueModel) drain(leave int) error {
	after := maps.Clone(l.kept)
	return l.update(after, func(b *bbolt.Bucket) error {
		for n := range l.kept {
			if n+uint64(leave) > l.next {
				continue
			}
			delete(after, n)
			if err := b.Delete(binary.BigEndian.AppendUint64(nil, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// update changes the queue in a transaction, after which it holds the messages in after.
func (l *queueModel) update(after map[uint64]bool, do func(*bbolt.Bucket) error) error {
	l.after = after
	err := boltfile.Guard(l.db.Path(), func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(queue)
			if err != nil {
				return err
			}
			return do(b)
		})
	})
	if err == nil {
		l.kept, l.after = after, nil
	}
	return err
}

// Close implements crashimages.Model.
func (l *queueModel) Close() error { return l.db.Close() }

// CheckFailed implements crashimages.Model: to stop is up to the stores.
func (l *queueModel) CheckFailed() error { return nil }

// Kill implements crashimages.Model.
func (l *queueModel) Kill() {
	if l.db != nil {
		_ = l.db.Close() // it may be closed already
	}
	if l.release != nil {
		l.release()
	}
}
