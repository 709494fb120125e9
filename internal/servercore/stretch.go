package servercore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An openStretch is the stretch that the output ends with, if it does.
type openStretch struct {
	wire.OpenStretch
	subs  []*sub // for which it is, all of them
	times bool   // one of them asked for them
}

// deliverTo writes a message once for all that want it: to a client with our extensions
// as an entry of a stretch, as long as one can say it.
func (s *Session) deliverTo(subs []*sub, r *ledger.Record) {
	s.inst.Counts.Delivered.Add(uint64(len(subs)))
	if !s.who.ext || !s.stretchTo(subs, r) {
		s.deliverAlone(subs, r)
	}
}

// stretchTo adds a message to the open stretch or begins one with it. False: a stretch
// can't say it.
func (s *Session) stretchTo(subs []*sub, r *ledger.Record) bool {
	w := &s.writer
	if r.Raw == nil || record.Introduced(r.Raw) && !mut.On(mut.R10CheckTold) {
		return false // the check of a publisher is no subscriber's
	}
	o := &w.open
	if !o.Takes(w.out, len(r.Raw)) || !slices.Equal(o.subs, subs) && !mut.On(mut.R9StretchForOthers) {
		if !slices.ContainsFunc(subs, (*sub).getsBookmarks) {
			return false
		}
		w.listIDs(subs)
		if !wire.FitsStretch(w.ids, len(r.Raw)) {
			return false
		}
		o.subs, o.times = append(o.subs[:0], subs...), slices.ContainsFunc(subs, (*sub).getsTimes)
		w.out = o.Begin(w.out, w.ids)
	}
	time := int64(0)
	if o.times {
		time = r.Time
	}
	w.out = o.Add(w.out, time, r.Raw)
	return true
}

// getsBookmarks reports whether the deliveries to a subscription have bookmarks.
func (b *sub) getsBookmarks() bool { return b.Bookmark || b.Options.Bookmark }

// getsTimes reports whether they say when the message was taken.
func (b *sub) getsTimes() bool { return b.Options.Timestamp }

// listIDs sets ids to those of some subscriptions.
func (f *feeds) listIDs(subs []*sub) {
	f.ids = f.ids[:0]
	for i, b := range subs {
		if i > 0 {
			f.ids = append(f.ids, ',')
		}
		f.ids = append(f.ids, b.ID...)
	}
}

// deliverAlone writes a message as a frame of its own.
func (s *Session) deliverAlone(subs []*sub, r *ledger.Record) {
	w := &s.writer
	w.listIDs(subs)
	d := wire.Delivery{Topic: r.Topic, SubIDs: w.ids, CorrelationID: r.CorrelationID, UserID: r.User, Body: r.Body}
	if slices.ContainsFunc(subs, (*sub).getsBookmarks) {
		d.Bookmark = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	}
	if slices.ContainsFunc(subs, (*sub).getsTimes) {
		d.Timestamp = r.Time
	}
	w.out = d.AppendTo(w.out)
}
