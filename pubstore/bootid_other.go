//go:build !linux && !darwin

package pubstore

import "errors"

// bootID fails on this system, so a store that was not closed begins a new life when it is
// opened.
func bootID() (string, error) { return "", errors.New("no boot id on this system") }
