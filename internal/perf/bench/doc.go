// Package bench measures a pair of servers for holdfast bench. Each run also
// counts its messages. If one is missing, duplicated or out of order on a server
// or at a subscriber, the run returns an error and no result.
package bench
