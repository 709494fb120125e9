package pubstore

import (
	"os"
	"strings"
)

// bootID names this run of the machine; it is another one after each boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
