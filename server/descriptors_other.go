//go:build !unix

package server

// descriptorLimit returns 0: this system has no relevant limit on file descriptors.
func descriptorLimit() int { return 0 }
