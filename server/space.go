package server

import (
	"errors"
	"io/fs"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// spaceCheckInterval is the time between two checks of the free space. Other programs use the disk,
// too.
const spaceCheckInterval = 10 * time.Second

// A space is the state of the journal's disk at the last check.
type space struct {
	free      atomic.Int64
	total     atomic.Int64
	full      atomic.Bool   // publishes are refused for now
	linksFull atomic.Bool   // links take no messages either
	wake      signal.Signal // set when the journal has a new segment

	logMu                 sync.Mutex       // for the lines of the log
	fullSince             logging.Reminder // guarded by logMu, like the rest
	shortened             logging.Reminder // messages are removed that are younger than retain
	early                 int              // segments that were removed early since beganEarly
	beganEarly, lastEarly time.Duration
	measuring             logging.Outage
	reserving             logging.Outage
	trimming              logging.Outage

	mu      sync.Mutex
	samples []spaceSample // guarded by mu; of the last spaceWindow, oldest first
	reserve int64         // guarded by mu; as in DiskMetrics
}

// begin begins a state of which the log tells. It reports whether that is news.
func (sp *space) begin(state *logging.Reminder, now time.Duration) (news bool) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	news = !state.Lasts()
	state.Begin(now)
	return news
}

// end ends a state, and returns how long it has lasted.
func (sp *space) end(state *logging.Reminder, now time.Duration) time.Duration {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	return state.End(now)
}

// remind reports whether a reminder is due, and how long the state has lasted.
func (sp *space) remind(state *logging.Reminder, now time.Duration) (lasts time.Duration, due bool) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	return state.Since(now), state.Remind(now)
}

// fail counts a failure of something that is tried again, and reports whether it has a line.
func (sp *space) fail(o *logging.Outage, now time.Duration) (attempts int, tell bool) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	tell = o.Fail(now)
	return o.Attempts(), tell
}

// work ends the failures. It returns their number and how long they lasted, 0 if there were none.
func (sp *space) work(o *logging.Outage, now time.Duration) (attempts int, lasted time.Duration) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	return o.End(now)
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
		if attempts, tell := s.space.fail(&s.space.measuring, time.Since(s.started)); tell {
			s.log.Error("the free disk space cannot be measured", "error", err, "attempts", attempts)
		}
		return 0
	}
	if attempts, lasted := s.space.work(&s.space.measuring, time.Since(s.started)); attempts > 0 {
		s.log.Info("the free disk space can be measured again", "attempts", attempts, "duration", lasted)
	}
	publishes, links := s.reserves(total)
	s.space.free.Store(free)
	s.space.total.Store(total)
	s.space.noteFree(time.Now(), free+s.journal.Unused(), publishes) // a new segment is no loss of space until it is used
	full := free < publishes && !failpoint.On(failpoint.R7NoMinFree)
	linksFull := free < links && full
	hadLinksFull, wasFull := s.space.linksFull.Swap(linksFull), s.space.full.Swap(full)
	s.logSpace(full, wasFull, free, publishes)
	s.noteSpace(full, wasFull)
	if linksFull && !hadLinksFull {
		s.log.Error("the disk is so full that messages of the peers are refused, too", "free", mebibytes(free), "min_free", mebibytes(links))
	}
	return publishes + s.headroom() - free
}

// logSpace logs whether publishes are refused because the disk is nearly full.
func (s *Server) logSpace(full, wasFull bool, free, reserve int64) {
	now, state := time.Since(s.started), &s.space.fullSince
	switch {
	case full && !wasFull:
		if s.space.begin(state, now) {
			s.log.Error("the disk is nearly full: publishes are refused until it has space", "free", mebibytes(free), "min_free", mebibytes(reserve), "dir", s.cfg.Data, "bytes", s.journal.Size())
		}
	case full:
		if lasts, due := s.space.remind(state, now); due {
			s.log.Error("the disk is still nearly full: publishes are refused", "duration", lasts, "free", mebibytes(free), "min_free", mebibytes(reserve))
		}
	case wasFull:
		s.log.Info("the disk has space again: publishes are accepted", "duration", s.space.end(state, now), "free", mebibytes(free), "min_free", mebibytes(reserve))
	}
}

// noteSpace adds an event when the disk has become nearly full, or has space again.
func (s *Server) noteSpace(full, wasFull bool) {
	switch {
	case full && !wasFull:
		s.note(EventDiskLow, "", "the disk is nearly full: publishes are refused for now")
	case wasFull && !full:
		s.note(EventDiskOK, "", "the disk has space again: publishes are accepted")
	}
}

// keepReserve makes the reserve file if the disk has space for it above the reserve.
func (s *Server) keepReserve() {
	free, total, err := s.journal.Space()
	if publishes, _ := s.reserves(total); err != nil || free <= publishes+s.journal.ReserveBytes() {
		return
	}
	if err := s.journal.KeepReserve(); err != nil {
		if attempts, tell := s.space.fail(&s.space.reserving, time.Since(s.started)); tell {
			s.log.Error("the reserve file cannot be made: after a full disk the journal may not open", "error", err, "attempts", attempts)
		}
		return
	}
	if attempts, lasted := s.space.work(&s.space.reserving, time.Since(s.started)); attempts > 0 {
		s.log.Info("the reserve file is made", "attempts", attempts, "duration", lasted)
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
	s.logTrim(n, need, err)
	return n
}

// logTrim logs that segments were removed, or could not be.
func (s *Server) logTrim(segments int, need int64, err error) {
	now := time.Since(s.started)
	if err != nil {
		if attempts, tell := s.space.fail(&s.space.trimming, now); tell {
			s.log.Error("old segments cannot be removed", "error", err, "attempts", attempts)
		}
		return
	}
	if attempts, lasted := s.space.work(&s.space.trimming, now); attempts > 0 {
		s.log.Info("old segments can be removed again", "attempts", attempts, "duration", lasted)
	}
	if segments > 0 {
		s.log.Debug("old segments are removed", "segments", segments)
	}
	s.logEarly(segments, need, now)
}

// earlySteady is the time without an early removal after which the early removals count as ended.
const earlySteady = 10 * time.Minute

// logEarly logs that segments are removed because space is short, and the end of that. need is as
// for trim.
func (s *Server) logEarly(segments int, need int64, now time.Duration) {
	sp := &s.space
	if need <= 0 || segments == 0 {
		if total, lasted := sp.endEarly(now); total > 0 {
			s.log.Info("no messages are removed early any more: the disk has had enough space for ten minutes", "segments", total, "duration", lasted)
		}
		return
	}
	// Space is short for each new segment, so the line repeats only now and then.
	if total, tell := sp.countEarly(segments, now); tell {
		s.log.Warn("disk space is short: the oldest messages are removed, perhaps before log.retain",
			"segments", total, "needed", mebibytes(need), "free", mebibytes(sp.free.Load()), "dir", s.cfg.Data, "bytes", s.journal.Size())
	}
}

// countEarly counts segments that were removed early. It returns those since the first of them, and
// whether that has a line.
func (sp *space) countEarly(segments int, now time.Duration) (total int, tell bool) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	if tell = !sp.shortened.Lasts(); tell {
		sp.beganEarly = now
	}
	sp.shortened.Begin(now)
	sp.early, sp.lastEarly = sp.early+segments, now
	return sp.early, sp.shortened.Remind(now) || tell
}

// endEarly ends the early removals if the last one is long ago. It returns the number of segments,
// 0 if there is no end.
func (sp *space) endEarly(now time.Duration) (total int, lasted time.Duration) {
	sp.logMu.Lock()
	defer sp.logMu.Unlock()
	if sp.early == 0 || now-sp.lastEarly < earlySteady {
		return 0, 0
	}
	total, sp.early = sp.early, 0
	sp.shortened.End(now)
	return total, sp.lastEarly - sp.beganEarly
}

// mebibytes formats a size for the log.
func mebibytes(bytes int64) string {
	if bytes < 10<<20 {
		return strconv.FormatInt(bytes>>10, 10) + "KiB"
	}
	return strconv.FormatInt(bytes>>20, 10) + "MiB"
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
		s.log.Warn("old segments cannot be removed before the journal is opened", "error", err)
	case n > 0:
		s.log.Warn("disk space is short: the oldest segments were removed before the journal was opened", "segments", n)
	}
}
