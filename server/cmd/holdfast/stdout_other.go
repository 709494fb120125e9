//go:build !unix

package main

import "os"

// isClosed reports whether a standard file was closed when the process began.
func isClosed(f *os.File) bool {
	_, err := f.Stat()
	return err != nil
}
