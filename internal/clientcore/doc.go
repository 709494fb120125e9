// Package clientcore holds the state and the order of a client's sessions and
// subscriptions, without I/O. A [Session] owns the connections of a client,
// one after the other. It chooses the life of the publish store to log on with
// ([Visit]), logs on, handles acks ([Publisher]), tracks recovery, and decides
// the next step after a connection has ended ([NameBackoff]). A [Sender]
// encodes the messages in the publish store. A [Subscription] owns one
// subscription over all connections. A [ServerOrder] chooses the next server.
//
// The package starts no goroutines. It does not wait, lock, read a clock, or
// use a file or a connection. The inputs are frames, times and calls of the
// application. The outputs are commands, and effects on the stores and the
// application. Two drivers run this package: package client with sockets and
// goroutines, and the simulator (internal/proof/sim) with virtual time and
// injected faults.
package clientcore
