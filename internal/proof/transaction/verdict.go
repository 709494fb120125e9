package transaction

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

// A journal is the content of an instance's journal.
type journal struct {
	orders   []order
	invoices []invoice
}

func readJournal(dir string) (j journal, err error) {
	err = fleet.EachMessage(dir, func(topic string, body []byte) error {
		if topic == "orders" {
			j.orders = append(j.orders, order{})
			return json.Unmarshal(body, &j.orders[len(j.orders)-1])
		}
		j.invoices = append(j.invoices, invoice{})
		return json.Unmarshal(body, &j.invoices[len(j.invoices)-1])
	})
	return j, err
}

// A report is the outcome of a run.
type report struct {
	published   checker.Keys // the orders, by shop
	journals    [2]journal
	accounts    map[string]Account // in the application's database
	lastInvoice uint64             // the last invoice, by the application's database
	app         *application

	deaths, outages               int // that happened
	plannedDeaths, plannedOutages int
}

// ordersOf returns the ids of the orders in a journal, by shop.
func (j journal) ordersOf() checker.Keys {
	keys := make(checker.Keys)
	for _, o := range j.orders {
		keys[o.Shop] = append(keys[o.Shop], o.ID)
	}
	return keys
}

// invoicedOrders returns the ids of the orders that the invoices are for, by shop.
func (j journal) invoicedOrders() checker.Keys {
	keys := make(checker.Keys)
	for _, v := range j.invoices {
		shop, _, _ := strings.Cut(v.Order, "-")
		keys[shop] = append(keys[shop], v.Order)
	}
	return keys
}

// invoiceNumbers returns the numbers of the invoices.
func (j journal) invoiceNumbers() checker.Keys {
	var numbers []string
	for _, v := range j.invoices {
		numbers = append(numbers, strconv.FormatUint(v.Number, 10))
	}
	return checker.Keys{"invoices": numbers}
}

// numbersTo returns the numbers from 1 to n.
func numbersTo(n int) checker.Keys {
	var numbers []string
	for i := range n {
		numbers = append(numbers, strconv.Itoa(i+1))
	}
	return checker.Keys{"invoices": numbers}
}

// recompute returns the accounts after all invoices of a journal, from the orders
// that stand there, and how many invoices carry another account.
func (j journal) recompute() (accounts map[string]Account, wrong int) {
	orders := make(map[string]order)
	for _, o := range j.orders {
		orders[o.ID] = o
	}
	accounts = make(map[string]Account)
	for _, v := range j.invoices {
		o := orders[v.Order]
		a := accounts[o.Customer]
		a.Orders++
		a.Total += o.Amount
		accounts[o.Customer] = a
		if v.Account != a {
			wrong++
		}
	}
	return accounts, wrong
}

// differingAccounts returns how many accounts are not the same.
func differingAccounts(a, b map[string]Account) (n int) {
	for customer := range a {
		if a[customer] != b[customer] {
			n++
		}
	}
	for customer := range b {
		if _, ok := a[customer]; !ok {
			n++
		}
	}
	return n
}

// handedOver compares how often orders were handed over with how often their transactions
// had not committed when the application died. Of orders whose fate is unknown, some came
// again.
func (a *application) handedOver() (again, some, missed, repeated int) {
	for id, n := range a.handed {
		due, may := a.expectedAgain[id][0], a.expectedAgain[id][1]
		again += n - 1
		some += min(max(0, n-1-due), may)
		missed += max(0, 1+due-n)
		repeated += max(0, n-(1+due+may))
	}
	return again, some, missed, repeated
}

// print writes the table and returns whether all is well.
func (r report) print(w io.Writer) bool {
	n := r.published.Len()
	row := func(name string, value any, note string) { fmt.Fprintf(w, "  %-18s %8v   %s\n", name, value, note) }
	fmt.Fprintln(w)
	row("orders", n, "published by the shops")
	var orders, invoices, taken []checker.Keys
	wrong := 0
	for i, name := range []string{"A", "B"} {
		j := r.journals[i]
		orders, invoices, taken = append(orders, j.ordersOf()), append(invoices, j.invoiceNumbers()), append(taken, j.invoicedOrders())
		accounts, off := j.recompute()
		wrong += off + differingAccounts(accounts, r.accounts)
		row("orders on "+name, checker.Compare(r.published, orders[i]).Present, "in its journal, read after it stopped")
		row("invoices on "+name, checker.Compare(numbersTo(n), invoices[i]).Present, "numbered 1 to "+strconv.Itoa(n)+", one for each order")
	}
	all := checker.Compare(r.published, orders...).Add(checker.Compare(numbersTo(n), invoices...)).Add(checker.Compare(r.published, taken...))
	again, some, missed, repeated := r.app.handedOver()
	row("last invoice", r.lastInvoice, "by the application's database")
	row("handed over again", again, fmt.Sprintf("after each of %d deaths before a commit, none of %d behind one, %d of %d at any instant",
		r.app.deaths[comesAgain], r.app.deaths[isDone], some, r.app.deaths[mayComeAgain]))
	row("lost", all.Lost+missed, "orders, invoices, and orders that had to come again")
	row("twice", all.Duplicated+repeated, "")
	row("out of order", all.Disordered, "")
	row("wrong accounts", wrong, "on an invoice or in the database, by the orders in the journals")
	row("deaths", fmt.Sprintf("%d of %d", r.deaths, r.plannedDeaths), "of the application")
	row("instances killed", fmt.Sprintf("%d of %d", r.outages, r.plannedOutages), "times, one or both")
	row("publish store full", r.app.full, "in a transaction, which was done again when there was room")
	for _, line := range r.app.unexpected {
		row("trouble", "", line)
	}
	fmt.Fprintln(w, strings.Repeat("-", 72))
	return all.Clean() && missed+repeated+wrong+len(r.app.unexpected) == 0 && r.lastInvoice == uint64(n) &&
		r.deaths == r.plannedDeaths && r.outages == r.plannedOutages && n > 0
}
