// Package servercore is a client's session on the instance's side. [Session]
// owns its whole state and order: the logon and the peers' answers to it, the
// admission of publishes, where a subscription begins, deliveries, gaps,
// progress marks, and acks. The decisions under it are functions and small types
// of their own: [DecideLogon], [AckCore], [ContestHere], [ContestAcross].
//
// Nothing here starts goroutines, waits for anything but the ledger's disk, reads
// a clock, or uses a file or a connection.
// A [Driver] brings commands and the time, and writes the output: package server
// does so with sockets and goroutines, the simulator in virtual time. The session
// reads and writes its instance through a ledger.Ledger.
package servercore
