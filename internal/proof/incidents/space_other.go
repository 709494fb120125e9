//go:build !unix

package main

import "errors"

// freeSpace returns the free space of the disk of dir, in bytes.
func freeSpace(string) (int64, error) {
	return 0, errors.New("the free space is measured on Unix only")
}
