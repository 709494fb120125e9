// Package sim runs the cores of client and server in one goroutine, in virtual
// time, on simulated networks and disks, under faults drawn from a seed. An
// oracle watches acks and stores during the run. At the end package checker
// judges the journals on the disks and the messages that were handed over.
//
// Beside the group there are forgers, which are clients that send commands that
// no store sends, and strangers, which are instances outside the group. Their own
// records may stay; they must not change anything else.
//
// Half of the seeds have users, with permissions that change on one instance after the other, users
// that are removed, and other users with the store of a publisher. Some begin without users. The
// oracle sees each record that a session appends and each message that an instance delivers. By the
// permissions that the instance has at that moment the user must be allowed to publish or to get it,
// or must be denied what is rejected as not entitled. No message is accepted by one instance and
// rejected by another, except where none can know of the other: a publisher that moves from the
// asynchronous third instance or from one that does not replicate back, a peer that was absent for
// longer than its permissions count, and permissions that were granted while the instance that has
// rejected is absent. Such a run ends there, and is counted.
//
// The decisions are the product's own: the sessions of clients with their
// senders and subscriptions (clientcore), the stores, the sessions of instances
// (servercore), the journal on its log, both ends of the links, subscriptions
// (route), the resume window (bookmarkstore). The simulator only carries events
// between them. Client and server have goroutines, sockets and clocks; the
// simulator has one list of events, ordered by time. The same seed therefore
// makes the same run, as the hash of its events shows, and a run of half a
// minute takes some milliseconds.
//
// The terms are those of client/GUARANTEES.md. Run makes one run; the command
// in the folder simulate makes many.
package sim
