// Command transaction shows an application that consumes, changes its own data and
// publishes in one transaction of its database: it takes orders, keeps an
// account for each customer, and publishes an invoice for each order (handle.go). A pair
// of real servers runs, shops publish, and the application is killed (kill -9) at
// every step of its work, with the servers killed in between. It prints what
// happened and, from both journals and the application's database, whether
// anything was lost, done twice, out of order or wrongly booked. It exits 0 only
// if nothing was and everything that was to die did.
package main

import (
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/proof/transaction"
)

// underTrial is the application as the trial runs it.
var underTrial = transaction.App{Serve: run, Accounts: readAccounts}

func main() { os.Exit(transaction.Main(os.Args[1:], underTrial)) }

// readAccounts returns the accounts, and the number of the last invoice.
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
