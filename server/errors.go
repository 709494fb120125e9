package server

import (
	"errors"
	"fmt"
)

// ErrKilled is what Err returns after Kill.
var ErrKilled = errors.New("server: killed")

// ErrDrainTimeout is what Shutdown returns if acks were still outstanding, at the end of
// the time or because the peer that had to give them has stopped, too.
var ErrDrainTimeout = errors.New("server: acks were still outstanding when the drain ended")

// A DiskError reports that the disk failed, which ends the instance (R7).
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return fmt.Sprintf("server: the disk has failed: %v", e.Err) }
func (e *DiskError) Unwrap() error { return e.Err }

// A DamagedError reports a journal that is damaged, on an instance that has
// no peer to heal it from (R8).
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("server: the journal is damaged and there is no peer to heal it from: %v "+
		"(-accept-damage, in Go Config.AcceptDamage, serves what is left)", e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

// A VersionError reports a journal that a later version of holdfastd has
// written. Nothing of it was changed.
type VersionError struct{ Err error }

func (e *VersionError) Error() string {
	return fmt.Sprintf("server: the journal was written by a newer holdfastd: %v; nothing was changed: start that holdfastd, or a later one", e.Err)
}
func (e *VersionError) Unwrap() error { return e.Err }
