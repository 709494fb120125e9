//go:build unix

package server

import "golang.org/x/sys/unix"

// descriptors returns how many file descriptors the process may have, 0 if there is no bound that matters.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}
