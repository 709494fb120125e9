// Command peerbench measures holdfast beside others, on one machine, in one
// session, in turns: a pair of holdfastd, clusters of NATS JetStream, a primary
// and a replica of Redis with a stream, a quorum queue of RabbitMQ, and a bare
// pipeline of holdfast's shape that keeps no store and decides nothing, which is
// the best that the shape can do. All are real processes on a real file system.
// It prints one Markdown table of medians, with holdfast's figure over each peer's
// beside it, and the conditions they were measured under.
//
//	go run .                        # everything, five runs, about half an hour
//	go run . -only B1,B2 -runs 9    # two of the works
//	go run . -short                 # does it work? a minute or two, no figures to quote
//
// The works:
//
//	B1    one publisher, 256 bytes of JSON a message, to the last ack
//	B2    the same, one message at a time
//	B3    replay of a log from its beginning to one subscriber
//	B4    one publisher and 1, 8, 64 subscribers that follow it live
//	B5    kill -9 of the server in use, under load
//
// holdfast is measured by its own command, holdfast bench, built from this
// checkout. JetStream's publisher has 4,096 publishes in flight and is connected
// to the stream's leader; its subscribers are ordered consumers. In B5 holdfast is
// offered 10,000 messages a second, and JetStream what 16 publishers do one at a
// time, each trying again within milliseconds; its subscriber is a consumer with
// as many copies as the stream, and what takes longer than 30 s counts as 30 s.
//
// Redis and RabbitMQ are measured where they are installed. Elsewhere the table
// says so and its last line counts them:
//
//	apt-get install redis-server rabbitmq-server    # what a full run needs, 36 MB
//
// The gate installs Redis alone. No service of the system is used.
//
// Redis: the publisher sends 4,096 XADD with WAIT 1 behind them on one connection,
// and both servers have appendfsync always. WAIT 1 promises that the replica has
// the messages in memory, not on its disk, and a failover may choose a server that
// lacks them. WAITAOF, from 7.2 on, promises the disk, but a replica reports its
// syncs once a second only. Redis has no B5: without Sentinel it does not fail over.
//
// RabbitMQ: the publisher has 4,096 confirms outstanding, each of which promises
// that two of three nodes have synced the message. B3 consumes a filled queue, which
// empties it. RabbitMQ has no B4, as each subscriber would need a queue of its own,
// and no B5.
//
// Each peer's clients are one process and its servers one process each (RabbitMQ's need an epmd beside them), started
// for the run and ended with it. Interrupted or not, no process and no directory
// stays behind.
package main
