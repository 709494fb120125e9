// Package sim runs the cores of client and server in one goroutine, in virtual
// time, on simulated networks and disks, under faults drawn from a seed. An
// oracle watches acks and stores while a run lasts; at the end package checker
// judges the journals on the disks and the messages that were handed over.
//
// Beside the group there are forgers, clients that say what no store says, and
// strangers, instances that none of the group knows. What they may leave behind is
// theirs; nothing else may be changed by it.
//
// The decisions are the product's own: the sessions of clients with their
// senders and subscriptions (clientcore), the stores, the sessions of instances
// (servercore), the journal on its log, both ends of the links, subscriptions
// (route), the resume window (bookmarkstore). The simulator only carries events
// between them. Client and server have goroutines, sockets and clocks; the
// simulator has one heap of events, ordered by time. The same seed therefore
// makes the same run, which the hash of its events shows, and a run of half a
// minute takes some milliseconds.
//
// The words are those of client/GUARANTEES.md. Run is one run; the command
// simulate in the folder of that name makes many.
package sim
