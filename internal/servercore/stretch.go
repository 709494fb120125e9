package servercore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An openStretch is the stretch at the end of the output, if there is one.
type openStretch struct {
	wire.OpenStretch
	subs  []*sub // all subscriptions that get it
	times bool   // one of subs asked for timestamps
}

// deliverTo writes a message once for all subscriptions that want it. A client with our extensions
// gets it as an entry of a stretch, if a stretch can hold it.
func (s *Session) deliverTo(subs []*sub, r *ledger.Record) {
	s.inst.Counts.Delivered.Add(uint64(len(subs)))
	if !s.client.ext || !s.stretchTo(subs, r) {
		s.deliverAlone(subs, r)
	}
}

// stretchTo adds a message to the open stretch, or begins a new stretch with it. It returns false
// if a stretch cannot hold the message.
func (s *Session) stretchTo(subs []*sub, r *ledger.Record) bool {
	w := &s.writer
	if r.Raw == nil || record.HasCheck(r.Raw) && !failpoint.On(failpoint.R10CheckTold) {
		return false // the record holds the publisher's check, which subscribers must not see
	}
	o := &w.open
	if !o.Fits(w.out, len(r.Raw)) || !slices.Equal(o.subs, subs) && !failpoint.On(failpoint.R9StretchForOthers) {
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

// getsBookmarks reports whether the subscription gets bookmarks with its deliveries.
func (b *sub) getsBookmarks() bool { return b.Bookmark || b.Options.Bookmark }

// getsTimes reports whether the subscription gets timestamps with its deliveries.
func (b *sub) getsTimes() bool { return b.Options.Timestamp }

// listIDs sets ids to the comma-separated ids of the subscriptions.
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
	d := wire.Delivery{Topic: r.Topic, SubIDs: w.ids, UserID: r.User, Body: r.Body}
	d.CorrelationID, d.Headers = s.deliverable(r.CorrelationID, r.Headers)
	if slices.ContainsFunc(subs, (*sub).getsBookmarks) {
		d.Bookmark = bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence}
	}
	if slices.ContainsFunc(subs, (*sub).getsTimes) {
		d.Timestamp = r.Time
	}
	w.out = d.AppendTo(w.out)
}

// deliverable returns the parts of a correlation id and of headers that the client takes. A client
// without our extensions takes no headers, and only a plain token.
func (s *Session) deliverable(correlation, headers []byte) (c, h []byte) {
	switch {
	case s.client.ext || failpoint.On(failpoint.PlainGetsAll):
		return correlation, headers
	case wire.IsPlainToken(correlation):
		return correlation, nil
	}
	return nil, nil
}
