package server

import (
	"encoding/json"
	"errors"
	"path"
	"time"
)

// stopMarkFile is a file in the directory of the journal. It exists while the journal is as an
// orderly stop has left it.
const stopMarkFile = "stopped.json"

// A stopMark is the content of stopMarkFile.
type stopMark struct {
	End uint64 `json:"end"` // position after the newest record of the journal
}

// How the run before this one has ended, for the log.
const (
	previousNew     = "new"     // there was none: the journal is new
	previousStopped = "stopped" // in order
	previousKilled  = "killed"  // it left no mark
)

// markStopped notes that the journal was closed in order.
func (s *Server) markStopped() {
	err := writeJSON(s.cfg.fs, path.Join(s.cfg.Data, stopMarkFile), stopMark{uint64(s.journal.End())})
	if err = errors.Join(err, s.cfg.fs.SyncDir(s.cfg.Data)); err != nil {
		s.log.Warn("the orderly stop cannot be marked: the next start will call it killed", "error", err)
	}
}

// takeStopMark returns how the run before this one has ended, and removes its mark. A mark whose
// removal did not reach the disk names another end of the journal than the one that was found, once
// something was written.
func (s *Server) takeStopMark(lastWrite time.Time) (previous string) {
	name, mark := path.Join(s.cfg.Data, stopMarkFile), stopMark{}
	text, err := readFile(s.cfg.fs, name)
	if err == nil {
		err = errors.Join(json.Unmarshal(text, &mark), s.cfg.fs.Remove(name), s.cfg.fs.SyncDir(s.cfg.Data))
	}
	switch {
	case err == nil && mark.End == uint64(s.journal.End()):
		return previousStopped
	case lastWrite.IsZero():
		return previousNew
	}
	return previousKilled
}
