// Package exitcode has the exit codes of holdfastd. The table in the documentation of
// server/cmd/holdfastd says what each means; server/deploy/holdfastd@.service acts on them.
package exitcode

const (
	Stopped = 0  // after SIGTERM or an interrupt
	Failed  = 1  // cannot run for now
	Panic   = 2  // of the Go runtime: a bug
	Disk    = 3  // the disk has failed or is full
	Damaged = 4  // the journal is damaged and no peer can heal it
	Newer   = 5  // a newer holdfastd has written the journal
	Config  = 78 // a configuration or command line that cannot be used; EX_CONFIG of sysexits.h
)

// Final are the codes after which another start ends in the same way until an operator
// has changed something.
var Final = []int{Damaged, Newer, Config}
