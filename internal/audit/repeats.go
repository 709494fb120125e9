package audit

import (
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	repeatWindow   = time.Minute
	maxRepeats     = 1024 // keys that are remembered
	subjectRepeats = 64   // keys of one subject, so that it cannot take the room of all
)

// A repeatKey identifies records that repeat each other. Records beyond the limits share a key
// without subject and object.
type repeatKey struct{ message, subject, object string }

// A repeat is a record that may repeat.
type repeat struct {
	record  slog.Record // the first one
	until   time.Time   // end of the window
	leftOut int         // repeats within the window
}

// repeats find records that repeat within a minute. They are safe for concurrent use.
type repeats struct {
	mu       sync.Mutex
	all      map[repeatKey]*repeat // guarded by mu, like the rest
	subjects map[string]int        // keys by subject
}

// allow reports whether to write a record now. If not, it is counted.
func (p *repeats) allow(key repeatKey, r slog.Record) bool {
	if failpoint.On(failpoint.AuditRepeats) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if of := p.all[key]; of != nil {
		of.leftOut++
		return false
	}
	if len(p.all) < maxRepeats && p.subjects[key.subject] < subjectRepeats {
		p.addLocked(key, r)
		return true
	}
	key.subject, key.object = "", ""
	of := p.all[key]
	if of == nil {
		of = p.addLocked(key, slog.NewRecord(r.Time, r.Level, r.Message, 0))
	}
	of.leftOut++
	return false
}

func (p *repeats) addLocked(key repeatKey, r slog.Record) *repeat {
	if p.all == nil {
		p.all, p.subjects = make(map[repeatKey]*repeat), make(map[string]int)
	}
	of := &repeat{record: r, until: r.Time.Add(repeatWindow)}
	p.all[key] = of
	p.subjects[key.subject]++
	return of
}

// sweep ends the windows that are over, or all of them. It returns a record for each window in
// which records were left out, with their number.
func (p *repeats) sweep(now time.Time, all bool) (reports []slog.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, of := range p.all {
		switch {
		case !all && now.Before(of.until):
		case of.leftOut == 0:
			delete(p.all, key)
			if p.subjects[key.subject]--; p.subjects[key.subject] == 0 {
				delete(p.subjects, key.subject)
			}
		default:
			r := of.record.Clone()
			r.Time = now
			r.AddAttrs(slog.Int("left_out", of.leftOut))
			reports = append(reports, r)
			of.leftOut, of.until = 0, now.Add(repeatWindow)
		}
	}
	return reports
}
