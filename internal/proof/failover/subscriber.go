package failover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/child"
)

// subscriberArgument is the first argument of the process that is the subscriber;
// the database and the servers follow.
const subscriberArgument = "subscriber"

// receivedBucket is the bucket that holds the key of each message, in the order of
// the transactions that discarded them.
var receivedBucket = []byte("received")

// runSubscriber is the subscriber process. Its bookmark store lives in its own database;
// a message's key is written in the transaction that discards it, so that either both
// survive or neither. It reports its connections and messages on standard output.
func runSubscriber(database string, servers []string) error {
	ctx := child.Context()
	db, err := bbolt.Open(database, 0o644, &bbolt.Options{Timeout: time.Minute})
	if err != nil {
		return err
	}
	defer db.Close()
	marks, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{})
	if err != nil {
		return err
	}
	defer marks.Close()
	c, err := client.Dial(ctx, client.Config{
		Name:          "earthquake-watch",
		Servers:       servers,
		BookmarkStore: marks,
		Hooks: client.Hooks{
			Connected:    func(s client.ServerInfo) { fmt.Println("connected", s.Server) },
			Disconnected: func(string, error) { fmt.Println("disconnected") },
		},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, "^earthquakes/", client.From(client.MostRecent), client.ID("watch"))
	if err != nil {
		return err
	}
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		fmt.Println("message")
		if err := recordAndDiscard(db, marks, m); err != nil {
			return err
		}
	}
	return errors.New("the subscription has ended")
}

// recordAndDiscard writes the message's key and discards it in one transaction.
func recordAndDiscard(db *bbolt.DB, marks *bookmarkstore.Bolt, m *client.Message) error {
	network, key, err := keyOf(m.Body)
	if err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(receivedBucket)
		if err != nil {
			return err
		}
		n, err := bucket.NextSequence()
		if err != nil {
			return err
		}
		if err := bucket.Put(binary.BigEndian.AppendUint64(nil, n), []byte(network+" "+key)); err != nil {
			return err
		}
		return marks.DiscardTx(tx, m.Ref())
	})
}

// readReceived returns the keys in the subscriber's database.
func readReceived(database string) (checker.Keys, error) {
	db, err := bbolt.Open(database, 0o644, &bbolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	h := make(checker.Keys)
	err = db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(receivedBucket)
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(_, value []byte) error {
			network, key, _ := strings.Cut(string(value), " ")
			h[network] = append(h[network], key)
			return nil
		})
	})
	return h, err
}

// A subscriber is the subscriber process as its parent sees it.
type subscriber struct {
	*child.Process
	database string
	servers  []string

	handed atomic.Int64 // messages handed to it, in all its lives
	server atomic.Value // string: the server it is connected to
}

func newSubscriber(dir string, servers []string) *subscriber {
	s := &subscriber{database: filepath.Join(dir, "subscriber.db"), servers: servers}
	s.server.Store("")
	s.Process = child.New("the subscriber", s.onLine)
	return s
}

// start starts the process.
func (s *subscriber) start() error {
	return s.Start(append([]string{subscriberArgument, s.database}, s.servers...)...)
}

// onLine takes in a line of the process.
func (s *subscriber) onLine(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "message":
		s.handed.Add(1)
	case "connected":
		s.server.Store(rest)
	case "disconnected":
		s.server.Store("")
	}
}

// kill ends the process as kill -9 does and waits until it is gone.
func (s *subscriber) kill() error {
	err := s.Kill()
	s.server.Store("")
	return err
}
