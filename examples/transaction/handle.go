package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// An app turns orders into invoices. Its accounts, its publish store and its
// bookmark store share one database.
type app struct {
	db     *bbolt.DB
	outbox interface { // a *pubstore.Bolt
		AppendTx(tx *bbolt.Tx, topic string, body []byte) (uint64, error)
	}
	bookmarks interface { // a *bookmarkstore.Bolt
		DiscardTx(tx *bbolt.Tx, m bookmarkstore.MessageRef) error
	}
}

// handle processes one order in one transaction: it updates the customer's account,
// appends the invoice to the publish store, and discards the order. If the process
// dies, either all three have happened and the invoice will be sent, or none has and
// the order comes again. The same holds after an error. Only pubstore.ErrFull is
// worth another try in this process (README.md).
func (a *app) handle(m *client.Message) error {
	var o order
	if err := json.Unmarshal(m.Body, &o); err != nil {
		return fmt.Errorf("order %v: %w", m.Bookmark, err)
	}
	return a.db.Update(func(tx *bbolt.Tx) error {
		invoice, err := book(tx, o) // the application's own data
		if err != nil {
			return err
		}
		body, err := json.Marshal(invoice)
		if err != nil {
			return err
		}
		if _, err := a.outbox.AppendTx(tx, "invoices", body); err != nil {
			return err
		}
		return a.bookmarks.DiscardTx(tx, m.Ref())
	})
}

// An order is a message that shops publish to the topic "orders".
type order struct {
	ID       string `json:"id"`
	Shop     string `json:"shop"`
	Customer string `json:"customer"`
	Amount   int    `json:"amount"`
}

// An invoice is the message that the app publishes for each order, to the topic
// "invoices". Its number is one higher than that of the invoice before it.
type invoice struct {
	Number  uint64  `json:"number"`
	Order   string  `json:"order"`
	Account account `json:"account"` // the customer's account after this order
}

// An account is the state of one customer.
type account struct {
	Orders int `json:"orders"`
	Total  int `json:"total"` // sum of all amounts
}

// accounts is the bucket that holds an account for each customer. Its sequence numbers
// the invoices.
var accounts = []byte("accounts")

// book enters an order into the customer's account and returns the invoice.
func book(tx *bbolt.Tx, o order) (invoice, error) {
	bucket, err := tx.CreateBucketIfNotExists(accounts)
	if err != nil {
		return invoice{}, err
	}
	number, err := bucket.NextSequence()
	if err != nil {
		return invoice{}, err
	}
	customer := readAccount(bucket, o.Customer)
	customer.Orders++
	customer.Total += o.Amount
	return invoice{number, o.ID, customer}, bucket.Put([]byte(o.Customer), customer.encode())
}

func readAccount(bucket *bbolt.Bucket, customer string) account {
	value := bucket.Get([]byte(customer))
	if len(value) != 16 {
		return account{}
	}
	return account{int(binary.BigEndian.Uint64(value)), int(binary.BigEndian.Uint64(value[8:]))}
}

func (a account) encode() []byte {
	value := binary.BigEndian.AppendUint64(nil, uint64(a.Orders))
	return binary.BigEndian.AppendUint64(value, uint64(a.Total))
}
