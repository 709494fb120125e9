package pubstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// A store in a directory keeps published messages when the process ends, even after a crash.
func ExampleOpenFile() {
	dir, err := os.MkdirTemp("", "publish")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := pubstore.OpenFile(dir, pubstore.FileOptions{})
	if err != nil {
		log.Fatal(err)
	}
	seq, err := store.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: []byte(`{"id":1}`)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("kept as", seq)
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	store, err = pubstore.OpenFile(dir, pubstore.FileOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	fmt.Println("outstanding:", store.Usage().Messages)
	// Output:
	// kept as 1
	// outstanding: 1
}

// An order and the message about it are written in one transaction. Neither exists without the
// other.
func ExampleBolt_AppendTx() {
	dir, err := os.MkdirTemp("", "app")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "app.db"), 0o600, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	err = db.Update(func(tx *bbolt.Tx) error {
		orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
		if err != nil {
			return err
		}
		if err := orders.Put([]byte("1"), []byte("two of them")); err != nil {
			return err
		}
		seq, err := store.AppendTx(tx, "orders", []byte(`{"id":1,"count":2}`))
		fmt.Println("message", seq)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("outstanding:", store.Usage().Messages)
	// Output:
	// message 1
	// outstanding: 1
}
