// Package sim runs the cores of client and server in one goroutine, in virtual
// time, on simulated networks and disks, under faults drawn from a seed, and
// has an oracle that reads the disks judge what comes of it.
//
// What decides is the product's own: the sessions of clients with their senders
// and subscriptions (clientcore), the stores, the sessions of instances
// (servercore), the journal on its log, both ends of the links, subscriptions
// (route), the resume window (bookmarkstore). What is the simulator's is what carries events between them: where client
// and server have goroutines, sockets and clocks there is one heap of events
// here, ordered by time. So the same seed does the same again, which the hash
// of a run's events shows, and a run of half a minute takes some
// milliseconds.
//
// The words are those of client/GUARANTEES.md. Run is one run; the command
// simulate in the folder of that name makes many.
package sim
