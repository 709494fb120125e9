// Command peerbench measures holdfast next to other systems on one machine, in
// turns: a pair of holdfastd, clusters of NATS JetStream, a primary and a replica
// of Redis with a stream, a quorum queue of RabbitMQ, and a bare pipeline. The bare
// pipeline has the shape of a pair, but no store and no decisions: it is the bound
// of that shape. All are real processes on a real file system. peerbench prints one
// Markdown table of medians, each with the ratio of holdfast's figure to the peer's,
// and the conditions of the measurement.
//
//	go run .                        # everything, five runs, about half an hour
//	go run . -only B1,B2 -runs 9    # two of the benchmarks
//	go run . -short                 # a check that all works, one or two minutes; its figures mean nothing
//
// The benchmarks:
//
//	B1    one publisher, messages of 256 bytes of JSON, to the last ack
//	B2    the same, one message at a time
//	B3    replay of a log from its beginning to one subscriber
//	B4    one publisher and 1, 8, 64 subscribers that follow it live
//	B5    kill -9 of the server in use, under load
//
// holdfast is measured by its own command, holdfast bench, built from this
// checkout. JetStream's publisher has 4,096 publishes in flight and is connected
// to the stream's leader; its subscribers are ordered consumers. In B5 the load of
// holdfast is 10,000 messages per second. The load of JetStream is 16 publishers
// that publish one message at a time and retry within milliseconds; its subscriber
// is a consumer with as many copies as the stream. Times above 30 s count as 30 s.
//
// Redis and RabbitMQ are measured if they are installed. Otherwise the table says
// "not installed", and a line below it counts them:
//
//	apt-get install redis-server rabbitmq-server    # for a full run, 36 MB
//
// The gate installs Redis only. peerbench uses no service of the system.
//
// Redis: the publisher sends 4,096 XADD with WAIT 1 behind them on one connection,
// and both servers have appendfsync always. WAIT 1 promises that the replica has
// the messages in memory, not on its disk, and a failover may choose a server that
// lacks them. WAITAOF, from 7.2 on, promises the disk, but a replica reports its
// syncs only once a second. Redis has no B5: without Sentinel it does not fail over.
//
// RabbitMQ: the publisher has 4,096 confirms outstanding, each of which promises
// that two of three nodes have synced the message. B3 consumes a filled queue, which
// empties it. RabbitMQ has no B4, as each subscriber would need a queue of its own,
// and no B5.
//
// The clients of a peer are one process, and its servers one process each (RabbitMQ
// also needs an epmd). They are started for the run and ended with it. No process and
// no directory is left behind, even after an interrupt.
package main
