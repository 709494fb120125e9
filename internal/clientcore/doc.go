// Package clientcore is what a client does, without what it takes to do it. A
// [Session] has the order of one connection after another: under which life of
// the publish store it logs on ([Visit]), what it makes of the answer and of
// acks ([Publisher]), when all is live again, why it leaves and what comes then
// ([NameRule]). A [Sender] writes what the store keeps. A [Subscription] has what
// becomes of one subscription over all connections. An [Order] has which server
// is tried next.
//
// Nothing here starts, waits, locks, reads a clock or touches a file or a
// connection: frames, times and calls of the application go in; commands, and
// effects for the stores and the application, come out. Two drivers run it:
// package client with sockets and goroutines, and the simulator
// (internal/proof/sim), where all happens in virtual time under faults.
package clientcore
