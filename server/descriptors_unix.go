//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptors returns the process's limit on file descriptors, or 0 if there is no relevant limit.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
