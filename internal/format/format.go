// Package format has the one error about a file that a later version of this
// module has written: a journal, a publish store, a bookmark store or a
// database. Such a file is whole, so whoever finds it refuses it before
// anything is changed (client/GUARANTEES.md R8).
package format

import "fmt"

// A VersionError says that a file has a format this program does not read.
type VersionError struct {
	File  string // or a part of one
	Found uint64
	Known uint64 // the latest that this program reads
}

func (e *VersionError) Error() string {
	file := e.File
	if file == "" {
		file = "it"
	}
	return fmt.Sprintf("%s has format version %d, this program reads versions up to %d", file, e.Found, e.Known)
}
