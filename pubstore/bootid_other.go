//go:build !linux && !darwin

package pubstore

import "errors"

// bootID cannot be had here, so that a store that was not closed begins a new life.
func bootID() (string, error) { return "", errors.New("no boot id on this system") }
