package wire

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Delivery is a publish, S→C. A connection gets it once, with the ids of all its
// subscriptions that match.
//
//	{"c":"p","t":…,"bm":"p|s|","ts":…,"x":…,"user_id":…,"sids":"1,4","k":…}body
type Delivery struct {
	Topic         []byte
	Bookmark      bookmark.Bookmark // zero: none
	Timestamp     int64             // microseconds since the Unix epoch; 0: none
	SubIDs        []byte            // comma list
	CorrelationID []byte
	SOWKey        []byte
	UserID        []byte
	Body          []byte
}

// AppendTo appends the frame.
func (d *Delivery) AppendTo(dst []byte) []byte {
	dst, start := beginFrame(dst, "p", "")
	dst = appendText(dst, `,"t":`, d.Topic)
	dst = appendBookmark(dst, d.Bookmark)
	if d.Timestamp != 0 {
		dst = append(dst, `,"ts":"`...)
		dst = bookmark.AppendTime(dst, time.UnixMicro(d.Timestamp))
		dst = append(dst, '"')
	}
	dst = appendText(dst, `,"x":`, d.CorrelationID)
	dst = appendText(dst, `,"user_id":`, d.UserID)
	dst = appendText(dst, `,"sids":`, d.SubIDs)
	dst = appendText(dst, `,"k":`, d.SOWKey)
	return endFrame(dst, start, d.Body)
}

// appendBookmark appends a bookmark as bm, unless it is zero.
func appendBookmark(dst []byte, b bookmark.Bookmark) []byte {
	if b.IsZero() {
		return dst
	}
	dst = append(dst, `,"bm":"`...)
	dst = b.AppendText(dst)
	return append(dst, '"')
}
