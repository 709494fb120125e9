//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptorLimit returns the process's limit on file descriptors, or 0 if there is no relevant
// limit.
func descriptorLimit() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
