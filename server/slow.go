package server

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

const (
	slowCheck  = 10 * time.Second // between two checks
	slowChecks = 3                // in a row at which a slow subscription was further behind each time
	slowAge    = 20 * time.Second // least age of the oldest record that a slow subscription has not read
	fastAge    = 5 * time.Second  // below which it has caught up
)

// A slowWatch finds subscriptions that fall further and further behind, maxWorst of them at a time:
// those that are most records behind. A replay of old messages is none, since it comes nearer.
type slowWatch struct {
	behind map[string]*slowSubscription // by client and id
}

// A slowSubscription is a subscription that was behind at the last check.
type slowSubscription struct {
	records uint64 // that it was behind
	most    uint64 // of records since it became slow
	grown   int    // checks in a row at which it was further behind
	state   logging.Reminder
}

// A slowLine is a line to be written.
type slowLine struct {
	SubscriptionStatus
	lasted   time.Duration // since the first line
	most     uint64        // records that it was behind at a check since then
	caughtUp bool
}

// check checks all subscriptions, and returns the lines that are due. It reorders the list.
func (w *slowWatch) check(all []SubscriptionStatus, now time.Duration) (lines []slowLine) {
	before, room := w.behind, maxWorst
	for _, s := range before {
		if s.state.Lasts() {
			room--
		}
	}
	w.behind = make(map[string]*slowSubscription, maxWorst)
	slices.SortFunc(all, mostRecordsFirst)
	for _, st := range all {
		s, known := before[st.key()]
		if !known {
			s = new(slowSubscription)
		}
		switch lasts := s.state.Lasts(); {
		case lasts && st.BehindMS < fastAge.Milliseconds():
			lines = append(lines, slowLine{st, s.state.End(now), s.most, true})
			continue
		case !lasts && (len(w.behind) >= maxWorst || st.RecordsBehind == 0):
			continue
		}
		w.behind[st.key()] = s
		switch slow := s.slow(&st); {
		case slow && !s.state.Lasts() && room > 0:
			room--
			s.state.Begin(now)
			s.most = st.RecordsBehind
		case !s.state.Remind(now):
			continue
		}
		lines = append(lines, slowLine{st, s.state.Since(now), s.most, false})
	}
	return lines
}

// slow notes how far the subscription is behind now, and reports whether it is slow.
func (s *slowSubscription) slow(st *SubscriptionStatus) bool {
	s.grown++
	if st.State == readStates[servercore.ReadsHeld] || st.RecordsBehind <= s.records {
		s.grown = 0
	}
	s.records, s.most = st.RecordsBehind, max(s.most, st.RecordsBehind)
	return s.grown >= slowChecks && st.BehindMS >= slowAge.Milliseconds()
}

// key returns a key of the subscription among those of an instance.
func (b *SubscriptionStatus) key() string { return b.Client + cursorSeparator + b.ID }

// logSlow logs which subscriptions fall behind, and which have caught up.
func (s *Server) logSlow(w *slowWatch) {
	for _, line := range w.check(s.allSubscriptions(), time.Since(s.started)) {
		if line.caughtUp {
			s.log.Info("a subscription has caught up", "client", line.Client, "subscription", line.ID, "topic", line.Topic, "most_behind", line.most, "duration", line.lasted)
			continue
		}
		lasted := any(line.lasted)
		if line.lasted == 0 {
			lasted = nil
		}
		s.log.Warn("a subscription falls behind: its client takes fewer messages than come", "client", line.Client, "subscription", line.ID, "topic", line.Topic,
			"records_behind", line.RecordsBehind, "oldest", time.Duration(line.BehindMS)*time.Millisecond, "duration", lasted)
	}
}
