//go:build !unix

package boltfile

import (
	"io/fs"
	"os"
)

// unlock has nothing to do here: closing the file is enough.
func unlock(*os.File) {}

// giveOwner has nothing to do here: a file inherits its owner.
func giveOwner(string, fs.FileInfo) error { return nil }
