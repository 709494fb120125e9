// Command holdfast looks at what holdfast keeps on disk: the journals of
// instances and the stores of applications, none of which may be in use. It
// only reads; what opening would change is said and left alone.
//
//	holdfast journal dump DIR             the records, readable or as JSON
//	holdfast journal verify DIR           is it whole, does it keep the promises?
//	holdfast journal compare DIR1 DIR2    the first difference between two instances
//	holdfast store inspect PATH           what a store keeps and what would be replayed
//	holdfast store verify PATH            can it be opened as it is?
//
// It exits with 0 if all is well, 1 if something is wrong with what it looked
// at (damage, a broken promise, a difference), 2 for usage and for paths that
// hold something else, 3 if the disk can't be read, and 4 if a running
// process has it open.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitWell   = 0
	exitFound  = 1
	exitUsage  = 2
	exitFailed = 3
	exitInUse  = 4
)

// commands are the command line, a field for each noun.
type commands struct {
	Journal journalCommands `cmd:"" help:"Look at the journal of an instance that does not run."`
	Store   storeCommands   `cmd:"" help:"Look at a publish store or bookmark store that is not in use."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	asked := -1 // for help, which exits from within
	parser, err := kong.New(new(commands),
		kong.Name("holdfast"),
		kong.Description("Looks at what holdfast keeps on disk, and changes nothing. Exit codes: "+
			"0 all is well, 1 something is wrong, 2 usage, 3 the disk can't be read, 4 in use by a running process."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { asked = code }),
		kong.Vars{"store_path": pathHelp},
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case asked >= 0:
		return asked
	case err != nil:
		fmt.Fprintf(stderr, "holdfast: %v; see holdfast --help\n", err)
		return exitUsage
	}
	return exitCode(command.Run(&output{stdout, stderr}), stderr)
}

// output is where a command writes: what it was asked for, and what is wrong.
type output struct{ out, err io.Writer }

// printf writes to standard output.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// errFound says that something is wrong with what was looked at, and that this was told.
var errFound = errors.New("something is wrong")

// An exitError is an error that has an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the person who typed the command.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode tells an error and returns its code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitWell
	}
	if errors.Is(err, errFound) {
		return exitFound
	}
	fmt.Fprintln(stderr, "holdfast:", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailed
}
