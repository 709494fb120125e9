// Command breakit lets you break a pair: it starts two real servers, live
// traffic from publishers with file stores to subscribers with bookmark stores,
// and shows a screen with counters. Keys kill and stop the servers, cut the
// link between them and wipe a disk. At the end it checks both journals and the
// subscribers' messages: was anything lost, duplicated or out of order?
//
// With -auto it needs no terminal: it presses random keys, drawn from -seed, for
// -duration. It exits with 0 only if nothing is wrong.
package main

import (
	"os"

	"github.com/holdfast-mq/holdfast/internal/proof/breakit"
)

func main() { os.Exit(breakit.Main(os.Args[1:])) }
