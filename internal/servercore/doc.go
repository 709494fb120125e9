// Package servercore is the server's side of a client session. A [Session] owns all state of one
// client and the order of its events: the logon and the peers' answers to it, the admission of
// publishes, the start of subscriptions, deliveries, gaps, progress marks and acks. The decisions
// below it are pure functions and small types: [DecideLogon], [DecideResend], [AckCore],
// [ContestHere], [ContestAcross].
//
// The package starts no goroutines, reads no clock and uses no files or connections. It blocks only
// on the ledger's disk. A [Driver] brings the commands and the time and writes the output. Package
// server drives sessions with sockets and goroutines. The simulator drives them in virtual time. A
// session reads and writes its instance through a ledger.Ledger.
package servercore
