// Command peerbench measures holdfast beside others, on one machine, in one
// session, in turns: a pair of holdfastd, clusters of NATS JetStream, a primary
// and a replica of Redis with a stream, a quorum queue of RabbitMQ, and a bare
// pipeline of holdfast's shape that keeps no store and decides nothing,
// which is what the shape can do at best. All are real processes on a real file
// system. It prints one Markdown table of medians, with holdfast's figure over
// each peer's beside it, and the conditions they were measured under.
//
//	go run .                        # everything, five runs, about half an hour
//	go run . -only B1,B2 -runs 9    # two of the works
//	go run . -short                 # does it work? less than a minute, no figures to quote
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
//	apt-get install redis-server rabbitmq-server    # what a full run needs, 37 MB
//
// The gate installs Redis alone. No service of the system is used, and none has
// to run. Redis' publisher sends 4,096 XADD and behind them WAIT 1 (from 7.2 on,
// WAITAOF 1 1), all on one connection, and both servers have appendfsync always.
// WAIT 1 says that the replica has the messages in memory, not that they are on
// its disk, and a failover may still choose a server that lacks them. RabbitMQ's
// publisher has 4,096 confirms outstanding on a queue of three nodes, of which
// two have synced what is confirmed; its B3 consumes a filled queue, which empties
// it, and it has no B4, for which each subscriber would need a queue of its own.
// Neither has a B5.
//
// Each peer's clients are one process and its servers one process each, started
// for the run and ended with it. Interrupted or not, no process and no directory
// stays behind.
package main
