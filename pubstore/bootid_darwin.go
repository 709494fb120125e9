package pubstore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// bootID returns an id of the current boot of the machine.
func bootID() (string, error) {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%06d", tv.Sec, tv.Usec), nil
}
