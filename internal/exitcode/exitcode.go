// Package exitcode defines the exit codes of holdfastd. The documentation of
// server/cmd/holdfastd explains them in a table, and server/deploy/holdfastd@.service acts on
// them.
package exitcode

const (
	OK          = 0  // stopped in order, by SIGTERM or an interrupt; or a command that has succeeded
	Failed      = 1  // cannot run at the moment
	Panic       = 2  // set by the Go runtime: a bug
	Disk        = 3  // the disk has failed or is full
	Damaged     = 4  // the journal is damaged and no peer can heal it
	NewerFormat = 5  // a newer holdfastd wrote the journal
	Config      = 78 // the configuration or the command line is invalid; EX_CONFIG of sysexits.h
)

// NoRestart lists the codes after which a supervisor must not restart the process: another start
// would fail in the same way until an operator has changed something.
var NoRestart = []int{Damaged, NewerFormat, Config}
