package pubstore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// bootID names this run of the machine; it is another one after each boot.
func bootID() (string, error) {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%06d", tv.Sec, tv.Usec), nil
}
