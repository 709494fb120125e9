package server

import (
	"errors"
	"fmt"
)

// errKilled is the result of Err after [testdoor.Server.Kill].
var errKilled = errors.New("server: killed")

// ErrDrainTimeout is the result of Shutdown if acks were still outstanding when it ended: the drain
// timed out, or the peer that had to acknowledge has stopped as well.
var ErrDrainTimeout = errors.New("server: acks were still outstanding when the drain ended")

// A DiskError reports that the disk failed, or was full. It ends the instance. No write is retried,
// since the disk may have lost what it reports as written; after a repair, Start finds out what is
// there.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return fmt.Sprintf("server: the disk has failed: %v", e.Err) }
func (e *DiskError) Unwrap() error { return e.Err }

// A DamagedError reports a journal with damaged records on an instance that has no peer to restore
// them from. Config.AcceptDamage serves the records that are left.
type DamagedError struct{ Err error }

func (e *DamagedError) Error() string {
	return fmt.Sprintf("server: the journal is damaged and there is no peer to heal it from: %v "+
		"(-accept-damage, in Go Config.AcceptDamage, serves the undamaged records)", e.Err)
}
func (e *DamagedError) Unwrap() error { return e.Err }

// A VersionError reports a journal that a later version of holdfastd has written. Nothing in it was
// changed.
type VersionError struct{ Err error }

func (e *VersionError) Error() string {
	return fmt.Sprintf("server: the journal was written by a newer holdfastd: %v (nothing was changed: start that holdfastd, or a later one)", e.Err)
}
func (e *VersionError) Unwrap() error { return e.Err }
