//go:build !unix

package boltfile

import (
	"io/fs"
	"os"
)

// unlock does nothing here: closing the file is enough.
func unlock(*os.File) {}

// copyOwner does nothing here: a file inherits its owner.
func copyOwner(string, fs.FileInfo) error { return nil }
