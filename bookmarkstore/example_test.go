package bookmarkstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"go.etcd.io/bbolt"
)

// A process that restarts resumes at its place: messages that it received and did not discard are
// delivered again.
func ExampleOpenBolt() {
	dir, err := os.MkdirTemp("", "bookmarks")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bookmarks.db")

	use := func(do func(bookmarkstore.Subscription)) {
		store, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
		if err != nil {
			log.Fatal(err)
		}
		// The client gets the store in client.Config.BookmarkStore and makes the following calls
		// itself.
		sub, err := store.OpenSubscription("orders", bookmarkstore.Query{Topic: "important_topic"})
		if err != nil {
			log.Fatal(err)
		}
		do(sub)
		if err := store.Close(); err != nil {
			log.Fatal(err)
		}
	}

	use(func(sub bookmarkstore.Subscription) {
		sub.SetBase(bookmarkstore.Vector{7: 100})
		for sequence := uint64(101); sequence <= 103; sequence++ {
			sub.Receive(bookmarkstore.Bookmark{Publisher: 7, Sequence: sequence})
		}
		sub.Discard(bookmarkstore.Bookmark{Publisher: 7, Sequence: 101})
		sub.Discard(bookmarkstore.Bookmark{Publisher: 7, Sequence: 103})
	})
	use(func(sub bookmarkstore.Subscription) {
		v, _ := sub.Discarded()
		fmt.Println("resume after", v[7])
		for sequence := uint64(102); sequence <= 104; sequence++ {
			fmt.Println(sequence, sub.Receive(bookmarkstore.Bookmark{Publisher: 7, Sequence: sequence}))
		}
	})
	// Output:
	// resume after 101
	// 102 true
	// 103 false
	// 104 true
}

// One transaction writes the effect of a message on the application's data and its discard: both
// or neither.
func ExampleBolt_DiscardTx() {
	dir, err := os.MkdirTemp("", "bookmarks")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "app.db"), 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	sub, err := store.OpenSubscription("orders", bookmarkstore.Query{Topic: "important_topic"})
	if err != nil {
		log.Fatal(err)
	}

	message := bookmarkstore.Bookmark{Publisher: 7, Sequence: 1}
	sub.Receive(message)
	ref := bookmarkstore.MessageRef{Subscription: "orders", Bookmark: message} // of a client's message: m.Ref()

	handle := func(result error) error {
		return db.Update(func(tx *bbolt.Tx) error {
			stock, err := tx.CreateBucketIfNotExists([]byte("stock"))
			if err != nil {
				return err
			}
			if err := stock.Put([]byte("apples"), []byte("12")); err != nil {
				return err
			}
			if err := store.DiscardTx(tx, ref); err != nil {
				return err
			}
			return result // an error rolls everything back
		})
	}
	fmt.Println(handle(fmt.Errorf("out of stock")), "- outstanding:", sub.Outstanding())
	fmt.Println(handle(nil), "- outstanding:", sub.Outstanding())
	if err := store.Sync(context.Background()); err != nil { // returns at once: the transaction has committed
		log.Fatal(err)
	}
	// Output:
	// out of stock - outstanding: 1
	// <nil> - outstanding: 0
}
