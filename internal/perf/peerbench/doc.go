// Command peerbench measures holdfast beside others, on one machine, in one
// session, in turns: a pair of holdfastd, clusters of NATS JetStream, and a
// bare pipeline of holdfast's shape that keeps no store and decides nothing,
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
// Each peer's clients are one process and its servers one process each, started
// for the run and ended with it. Interrupted or not, no process and no directory
// stays behind.
package main
