package server

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// lookInterval is how often the free space is looked at: others use the disk, too.
const lookInterval = 10 * time.Second

// A space is how much the disk of the journal has left, as last looked at.
type space struct {
	free  atomic.Int64
	full  atomic.Bool   // publishes are refused for now
	tight atomic.Bool   // links take nothing either
	wake  signal.Signal // the journal has a new segment
}

// reserves returns how much of a disk is to stay free: for publishes, and for
// what comes over links. A segment more must always have room.
func (s *Server) reserves(total int64) (publishes, links int64) {
	share, segment := s.cfg.Log.MinFree.of(total), int64(s.cfg.Log.Segment)
	return max(share, 2*segment), max(share/2, segment)
}

// segmentsAhead is for how many segments retention makes room beyond the reserve, so
// that publishes need not be refused while it works.
const segmentsAhead = 4

// lookAtSpace looks how much is free and returns how much retention is to free.
func (s *Server) lookAtSpace() (need int64) {
	free, total, err := s.journal.Space()
	if err != nil {
		s.log.Error("looking for free space", "error", err)
		return 0
	}
	publishes, links := s.reserves(total)
	s.space.free.Store(free)
	full := free < publishes && !mut.On(mut.R7NoMinFree)
	s.space.tight.Store(free < links && full)
	if was := s.space.full.Swap(full); full && !was {
		s.log.Error("the disk is nearly full: publishes are refused for now", "free", free, "reserve", publishes)
	} else if was && !full {
		s.log.Warn("there is space again: publishes are taken", "free", free, "reserve", publishes)
	}
	return publishes + s.ahead() - free
}

// keepReserve makes the reserve file if there is room for it beside the reserve.
func (s *Server) keepReserve() {
	free, total, err := s.journal.Space()
	if publishes, _ := s.reserves(total); err != nil || free <= publishes+s.journal.ReserveBytes() {
		return
	}
	if err := s.journal.KeepReserve(); err != nil {
		s.log.Error("making the reserve file", "error", err)
	}
}

// ahead is the space that retention keeps beyond the reserve.
func (s *Server) ahead() int64 { return segmentsAhead * int64(s.cfg.Log.Segment) }

// onSegment looks at the space at once, while the syncer waits, and has retention
// run. What writes is left to retention: the syncer has acks to bring.
func (s *Server) onSegment() {
	s.lookAtSpace()
	s.space.wake.Set()
}

// retention removes old segments: at the start, when there is a new one, from
// time to time, and when too little space is left.
func (s *Server) retention() {
	interval := min(time.Minute, max(time.Duration(s.cfg.Log.Retain)/4, time.Second))
	look := time.NewTicker(min(interval, lookInterval))
	defer look.Stop()
	for trimmed, turned := time.Now(), true; ; {
		need := s.lookAtSpace()
		if turned || need > 0 || time.Since(trimmed) >= interval {
			trimmed = time.Now()
			s.trim(need)
		}
		s.keepReserve()
		select {
		case <-look.C:
			turned = false
		case <-s.space.wake:
			turned = true
		case <-s.stopping:
			return
		}
	}
}

// Trim removes what retention allows now and returns how many segments went.
// The server does so by itself every minute.
func (s *Server) Trim() int { return s.trim(s.lookAtSpace()) }

// trim removes what retention allows and so many bytes more, if no destination
// lacks them. One that is away is given up before publishes are refused for long (R5).
func (s *Server) trim(need int64) int {
	for _, publisher := range s.instance.Registry.Publishers() {
		s.journal.Seen(publisher) // silent, but there (R10)
	}
	n := s.trimOnce(need)
	if s.lookAtSpace() > 0 && s.space.full.Load() && s.links.Load().GiveUpAbsent() {
		n += s.trimOnce(s.lookAtSpace())
	}
	return n
}

func (s *Server) trimOnce(need int64) int {
	n, err := s.journal.Trim(journal.Retention{
		Age:   time.Duration(s.cfg.Log.Retain),
		Bytes: int64(s.cfg.Log.RetainBytes),
		Doubt: s.links.Load().ClocksDisagree(),
		Need:  need,
		Held:  s.links.Load().Held,

		Agree: s.links.Load().Agree,
	})
	switch {
	case err != nil:
		s.log.Error("removing old segments", "error", err)
	case n > 0:
		s.log.Info("removed old segments", "segments", n, "lacking_space", max(need, 0))
	}
	return n
}

// makeRoom is retention before the journal is opened, which may take a segment
// more: of a lone instance only, since nobody knows yet what destinations lack.
func (s *Server) makeRoom() {
	free, total, err := s.cfg.FS.Space(s.cfg.Data)
	if err != nil || s.cfg.Replication != nil {
		return // the directory may not be there yet; opening says what is wrong
	}
	publishes, _ := s.reserves(total)
	n, err := journal.TrimClosed(s.cfg.FS, s.cfg.Data, int64(s.cfg.Log.RetainBytes), publishes+s.ahead()-free)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.log.Warn("removing old segments before the start", "error", err)
	case n > 0:
		s.log.Warn("removed the oldest segments before the start", "segments", n)
	}
}
