//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// A subscriberSpec is the job of a subscriber process.
type subscriberSpec struct {
	Name     string
	Servers  []string
	Database string
	Life     int // counts the processes
}

// received is the bucket that holds the name of each message and the process
// that it was handed to, in the order of the transactions that discarded them.
var received = []byte("received")

// A keeper writes down the received messages, many in a transaction: their names and
// their discards, so that either all survive or none.
type keeper struct {
	db    *bbolt.DB
	marks *bookmarkstore.Bolt
	queue chan keptMessage
	life  int
}

// A keptMessage is the record of a message.
type keptMessage struct {
	publisher string
	n         uint64
	mark      client.MessageRef
}

// runSubscriber is the subscriber process.
func runSubscriber(text string) error {
	var spec subscriberSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	db, err := bbolt.Open(spec.Database, 0o644, &bbolt.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	defer db.Close()
	marks, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer marks.Close()
	c, err := client.Dial(context.Background(), client.Config{
		Name: spec.Name, Servers: spec.Servers, BookmarkStore: marks, StartOffline: true,
		Hooks: client.Hooks{
			Connected: func(s client.ServerInfo) {
				writeEvent(historyEvent{Kind: eventConnected, Client: spec.Name, Text: s.Server})
			},
			Disconnected: func(server string, err error) {
				writeEvent(historyEvent{Kind: eventLost, Client: spec.Name, Text: fmt.Sprint(server, ": ", err)})
			},
			Gap: func(e *client.GapError) {
				writeEvent(historyEvent{Kind: eventStrange, Client: spec.Name, Text: e.Error()})
			},
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	writeEvent(historyEvent{Kind: eventBegun, Client: spec.Name, N: uint64(spec.Life)})
	k := &keeper{db: db, marks: marks, queue: make(chan keptMessage, 500), life: spec.Life}
	return k.follow(c, spec.Name)
}

// follow receives messages until standard input ends.
func (k *keeper) follow(c *client.Client, name string) error {
	ctx, stop := context.WithCancelCause(context.Background())
	go func() {
		awaitInputEnd()
		stop(nil)
	}()
	kept := make(chan error, 1)
	go func() {
		err := k.keepAll()
		kept <- err
		stop(err)
	}()
	err := k.subscribe(ctx, c, name)
	close(k.queue)
	if failed := <-kept; failed != nil {
		return failed
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// subscribe subscribes and queues the messages.
func (k *keeper) subscribe(ctx context.Context, c *client.Client, name string) error {
	sub, err := c.Subscribe(ctx, "^chaos/", client.From(client.MostRecent), client.ID("all"))
	if err != nil {
		return err
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		publisher, n, err := readBody(m.Body)
		if err != nil {
			writeEvent(historyEvent{Kind: eventStrange, Client: name, Text: err.Error()})
			return err
		}
		writeEvent(historyEvent{Kind: eventHanded, Client: name, Publisher: publisher, N: n, ID: m.Bookmark.Publisher, Sequence: m.Bookmark.Sequence})
		select {
		case k.queue <- keptMessage{publisher, n, m.Ref()}:
		case <-ctx.Done():
			return nil
		}
	}
	return fmt.Errorf("the subscription has ended")
}

// keepAll writes down the queued messages until the queue is closed.
func (k *keeper) keepAll() error {
	for first := range k.queue {
		some := append(make([]keptMessage, 0, 64), first)
		for len(some) < cap(some) && len(k.queue) > 0 {
			some = append(some, <-k.queue)
		}
		if err := k.db.Update(func(tx *bbolt.Tx) error { return k.keep(tx, some) }); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) keep(tx *bbolt.Tx, some []keptMessage) error {
	bucket, err := tx.CreateBucketIfNotExists(received)
	if err != nil {
		return err
	}
	for _, s := range some {
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, n), fmt.Appendf(nil, "%s %d", keyOf(s.publisher, s.n), k.life)); err != nil {
			return err
		}
		if err := k.marks.DiscardTx(tx, s.mark); err != nil {
			return err
		}
	}
	return nil
}

// readReceived calls fn with the entries of a subscriber's database, in order: the key of
// a message, and the process that it was handed to.
func readReceived(database string, fn func(key string, life int)) error {
	db, err := bbolt.Open(database, 0o644, &bbolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(received)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(_, value []byte) error {
			var key string
			var life int
			if _, err := fmt.Sscan(string(value), &key, &life); err != nil {
				return fmt.Errorf("%s holds %q: %w", database, value, err)
			}
			fn(key, life)
			return nil
		})
	})
}
