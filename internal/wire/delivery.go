package wire

import (
	"encoding/base64"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Delivery is a publish, S→C. A connection gets it once, with the ids of all its
// subscriptions that match.
//
//	{"c":"p","t":…,"bm":"p|s|","ts":…,"x":…,"user_id":…,"sids":"1,4","k":…,"headers":…}body
type Delivery struct {
	Topic         []byte
	Bookmark      bookmark.Bookmark // zero: none
	Timestamp     int64             // microseconds since the Unix epoch; 0: none
	SubIDs        []byte            // comma list
	CorrelationID []byte
	SOWKey        []byte
	UserID        []byte
	Headers       []byte // as in a record
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
	dst = appendHeaders(dst, d.Headers)
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

// appendHeaders appends the headers of a message in base-64, unless there are none.
func appendHeaders(dst, headers []byte) []byte {
	if len(headers) == 0 {
		return dst
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"headers":"`...), headers)
	return append(dst, '"')
}

// IsPlainToken reports whether a client without our extensions gets a text as the publisher's token
// (x): visible ASCII without quotes and backslashes, which need no escape.
func IsPlainToken(token []byte) bool {
	for _, c := range token {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
