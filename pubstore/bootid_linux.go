package pubstore

import (
	"os"
	"strings"
)

// bootID returns an id of the current boot of the machine.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
