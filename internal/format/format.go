// Package format has the error for a file of a later version of this module: a journal, a
// publish store, a bookmark store or a database. Such a file is not damaged. A program that
// finds one refuses it before it changes anything (client/GUARANTEES.md R8).
package format

import "fmt"

// A VersionError reports a file whose format this program does not read.
type VersionError struct {
	File  string // the file, or a part of it
	Found uint64
	Known uint64 // the latest version that this program reads
}

func (e *VersionError) Error() string {
	file := e.File
	if file == "" {
		file = "it"
	}
	return fmt.Sprintf("%s has format version %d, this program reads versions up to %d", file, e.Found, e.Known)
}
