package transaction

import (
	"fmt"
	"strconv"
	"strings"
)

// A step is a place at which the application dies, in the order in which it
// passes them.
type step string

const (
	opened        step = "opened"         // the stores are open
	connected     step = "connected"      // the client has logged on
	subscribed    step = "subscribed"     // the subscription has been answered
	received      step = "received"       // an order was handed over; no transaction yet
	booked        step = "booked"         // the account is changed
	appended      step = "appended"       // AppendTx has returned
	discarded     step = "discarded"      // DiscardTx has returned; the commit comes next
	rolledBack    step = "rolledback"     // the transaction was given up after all that
	committing    step = "committing"     // at some instant of the commit, or just after it
	committed     step = "committed"      // the commit is on the disk, neither store was notified
	storeNotified step = "store-notified" // the publish store was notified, the bookmark store was not
	bothNotified  step = "both-notified"  // both were notified
	settled       step = "settled"        // the invoice was acknowledged
	outside       step = "outside"        // not a step: killed from outside, at any instant
)

var steps = []step{
	opened, connected, subscribed, received, booked, appended, discarded,
	rolledBack, committing, committed, storeNotified, bothNotified, settled,
}

// starting reports whether the step is passed once, before the first order.
func (s step) starting() bool { return s == opened || s == connected || s == subscribed }

// fateAtDeath says whether the order at hand comes again after a death at the step.
func (s step) fateAtDeath() fate {
	switch s {
	case received, booked, appended, discarded, rolledBack:
		return comesAgain
	case committed, storeNotified, bothNotified, settled:
		return isDone
	}
	return mayComeAgain
}

// A fate is the outcome of the order at hand when the application died.
type fate int

const (
	mayComeAgain fate = iota
	comesAgain        // its transaction was not committed
	isDone            // it was
)

// A death says when the application dies by itself; the zero death: never.
type death struct {
	step       step
	occurrence int // the first is 1
	// percent is how far into the commit it dies, by the one before: 0 to 150.
	percent int
}

func (d death) String() string { return fmt.Sprintf("%s:%d:%d", d.step, d.occurrence, d.percent) }

// parseDeath parses the result of String; an empty text is the zero death.
func parseDeath(text string) (d death, err error) {
	if text == "" {
		return death{}, nil
	}
	fields := strings.Split(text, ":")
	if len(fields) != 3 {
		return d, fmt.Errorf("death %q: want step:passage:percent", text)
	}
	d.step = step(fields[0])
	if d.occurrence, err = strconv.Atoi(fields[1]); err != nil {
		return d, fmt.Errorf("death %q: passage: %w", text, err)
	}
	if d.percent, err = strconv.Atoi(fields[2]); err != nil {
		return d, fmt.Errorf("death %q: percent: %w", text, err)
	}
	return d, nil
}
