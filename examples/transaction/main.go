// Command transaction shows an application that consumes, changes its own data and
// publishes in one transaction of its database. It receives orders, keeps an account
// for each customer, and publishes an invoice for each order (handle.go).
//
// The command runs a pair of real servers and shops that publish orders. It kills the
// application (kill -9) at every step of its work, and servers in between. Then it
// prints the events, and checks both journals and the application's database: was
// anything lost, done twice, out of order or booked wrongly? It exits 0 only if
// nothing was, and if every planned kill happened.
package main

import (
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/transaction"
)

// underTrial is the application that the trial runs and kills.
var underTrial = transaction.App{Handler: newHandler, Accounts: readAccounts}

func main() { os.Exit(transaction.Main(os.Args[1:], underTrial)) }

func newHandler(db *bbolt.DB, outbox *transaction.TrialOutbox, bookmarks *transaction.TrialBookmarks) func(*client.Message) error {
	return (&app{db, outbox, bookmarks}).handle
}

// readAccounts returns the accounts in a database, and the number of the last invoice.
func readAccounts(database string) (map[string]transaction.Account, uint64, error) {
	db, err := bbolt.Open(database, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Minute})
	if err != nil {
		return nil, 0, err
	}
	defer db.Close()
	all, numbered := make(map[string]transaction.Account), uint64(0)
	err = db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(accounts)
		if bucket == nil {
			return nil
		}
		numbered = bucket.Sequence()
		return bucket.ForEach(func(customer, _ []byte) error {
			all[string(customer)] = transaction.Account(readAccount(bucket, string(customer)))
			return nil
		})
	})
	return all, numbered, err
}
