package server

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// spaceCheckInterval is the time between two checks of the free space. Other programs use the disk,
// too.
const spaceCheckInterval = 10 * time.Second

// A space is the state of the journal's disk at the last check.
type space struct {
	free      atomic.Int64
	full      atomic.Bool   // publishes are refused for now
	linksFull atomic.Bool   // links take no messages either
	wake      signal.Signal // set when the journal has a new segment

	mu      sync.Mutex
	samples []spaceSample // guarded by mu; of the last spaceWindow, oldest first
	reserve int64         // guarded by mu; as in DiskMetrics
}

// reserves returns the space in bytes that publishes, and messages from links, must leave free.
// There must always be enough for one more segment.
func (s *Server) reserves(total int64) (publishes, links int64) {
	share, segment := s.cfg.Log.MinFree.of(total), int64(s.cfg.Log.Segment)
	return max(share, 2*segment), max(share/2, segment)
}

// headroomSegments is the number of segments for which retention makes space beyond the reserve.
// With this headroom, publishes need not be refused while retention works.
const headroomSegments = 4

// checkSpace checks the free space and returns how many bytes retention must free, if positive.
func (s *Server) checkSpace() (need int64) {
	free, total, err := s.journal.Space()
	if err != nil {
		s.log.Error("cannot determine the free disk space", "error", err)
		return 0
	}
	publishes, links := s.reserves(total)
	s.space.free.Store(free)
	s.space.noteFree(time.Now(), free, publishes)
	full := free < publishes && !failpoint.On(failpoint.R7NoMinFree)
	s.space.linksFull.Store(free < links && full)
	if wasFull := s.space.full.Swap(full); full && !wasFull {
		s.log.Error("the disk is nearly full: publishes are refused for now", "free", free, "reserve", publishes)
	} else if wasFull && !full {
		s.log.Warn("the disk has space again: publishes are accepted", "free", free, "reserve", publishes)
	}
	return publishes + s.headroom() - free
}

// keepReserve makes the reserve file if the disk has space for it above the reserve.
func (s *Server) keepReserve() {
	free, total, err := s.journal.Space()
	if publishes, _ := s.reserves(total); err != nil || free <= publishes+s.journal.ReserveBytes() {
		return
	}
	if err := s.journal.KeepReserve(); err != nil {
		s.log.Error("cannot make the reserve file", "error", err)
	}
}

// headroom returns the space in bytes that retention keeps free above the reserve.
func (s *Server) headroom() int64 { return headroomSegments * int64(s.cfg.Log.Segment) }

// onSegment checks the space immediately, while the syncer waits, and wakes retention. Everything
// that writes is left to retention, since acks wait for the syncer.
func (s *Server) onSegment() {
	s.checkSpace()
	s.space.wake.Set()
}

// retention removes old segments: at the start, after a new segment, periodically, and when space
// is short.
func (s *Server) retention() {
	interval := min(time.Minute, max(time.Duration(s.cfg.Log.Retain)/4, time.Second))
	ticker := time.NewTicker(min(interval, spaceCheckInterval))
	defer ticker.Stop()
	for lastTrim, newSegment := time.Now(), true; ; {
		need := s.checkSpace()
		if newSegment || need > 0 || time.Since(lastTrim) >= interval {
			lastTrim = time.Now()
			s.trim(need)
		}
		s.keepReserve()
		select {
		case <-ticker.C:
			newSegment = false
		case <-s.space.wake:
			newSegment = true
		case <-s.stopping:
			return
		}
	}
}

// trim removes the segments that retention allows, and then the oldest ones until need bytes are
// freed. It keeps segments that a destination lacks. If publishes would still be refused, it gives
// up an absent destination (R5).
func (s *Server) trim(need int64) int {
	for _, publisher := range s.instance.Registry.Publishers() {
		s.journal.Touch(publisher) // it sends nothing but is connected, so do not forget it (R10)
	}
	n := s.trimOnce(need)
	if s.checkSpace() > 0 && s.space.full.Load() && s.links.Load().GiveUpAbsent() {
		n += s.trimOnce(s.checkSpace())
	}
	return n
}

func (s *Server) trimOnce(need int64) int {
	n, err := s.journal.Trim(journal.Retention{
		Age:           time.Duration(s.cfg.Log.Retain),
		Bytes:         int64(s.cfg.Log.RetainBytes),
		IgnoreAge:     s.links.Load().ClocksDisagree(),
		FreeBytes:     need,
		SegmentNeeded: s.links.Load().MustKeep,

		AgreeToForget: s.links.Load().AgreeToForget,
	})
	switch {
	case err != nil:
		s.log.Error("cannot remove old segments", "error", err)
	case n > 0:
		s.log.Info("removed old segments", "segments", n, "bytes_needed", max(need, 0))
	}
	return n
}

// trimBeforeOpen removes old segments before the journal is opened, since opening may need a new
// segment. It does so on a lone instance only: before the links are up, nobody knows which messages
// the destinations lack.
func (s *Server) trimBeforeOpen() {
	free, total, err := s.cfg.fs.Space(s.cfg.Data)
	if err != nil || s.cfg.Replication != nil {
		return // if the directory does not exist yet, opening reports any problem
	}
	publishes, _ := s.reserves(total)
	n, err := journal.TrimClosed(s.cfg.fs, s.cfg.Data, int64(s.cfg.Log.RetainBytes), publishes+s.headroom()-free)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.log.Warn("cannot remove old segments before the start", "error", err)
	case n > 0:
		s.log.Warn("removed the oldest segments before the start", "segments", n)
	}
}
