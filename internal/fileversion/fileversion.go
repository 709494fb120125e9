// Package fileversion defines the error for a file that a later version of this module has written:
// a journal, a publish store, a bookmark store or a database. Such a file is not damaged. A program
// refuses it without any change (client/GUARANTEES.md R8).
package fileversion

import "fmt"

// A VersionError reports a file whose format this program does not read.
type VersionError struct {
	File  string // the file, or a part of it; empty: not known here
	Found uint64
	Known uint64 // the latest version that this program reads
}

func (e *VersionError) Error() string {
	file := e.File
	if file == "" {
		file = "it"
	}
	return fmt.Sprintf("%s has format version %d, but this program reads only versions up to %d", file, e.Found, e.Known)
}
