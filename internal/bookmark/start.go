package bookmark

import (
	"bytes"
	"time"
)

// A StartKind is a way to say where a subscription begins.
type StartKind uint8

// The kinds. Most recent is not among them: a client resolves it before it asks.
const (
	Epoch     StartKind = iota // the start of the log
	Now                        // no replay
	List                       // behind the bookmark of the list that is earliest in the log; by vector: see R9
	Timestamp                  // after a time
)

// The texts of the protocol for the kinds that have no value of their own.
const (
	EpochText = "0"
	NowText   = "0|1|"

	// ResumeText is a list that covers nothing: that of a place in which nothing was
	// received. EpochText would begin a new one, behind what retention has removed.
	ResumeText = "0|0|"
)

// No log is older than this. Times before it are taken for it, so that a
// time that was asked for is never the zero Time.
var oldest = time.Unix(0, 0).UTC()

// A Start is where a bookmark subscription begins.
type Start struct {
	Kind StartKind
	List []Bookmark // of kind List, never empty
	Time time.Time  // of kind Timestamp; of kind List the earliest time that was listed too, or zero
}

// ParseStart parses the bm field of a subscription: "0", "0|1|", bookmarks,
// times, and lists of these. In a list the earliest counts, except by vector, where
// each publisher's highest bookmark counts (R9): "0" makes the whole Epoch, and "0|1|" beside anything else says nothing. For a range the
// error is ErrRange, otherwise a *SyntaxError.
func ParseStart(text []byte) (Start, error) {
	text = bytes.TrimSpace(text)
	if len(text) > 0 && (text[0] == '(' || text[0] == '[') {
		return Start{}, ErrRange
	}
	var s Start
	epoch := false
	for item := range bytes.SplitSeq(text, []byte(",")) {
		item = bytes.TrimSpace(item)
		if string(item) == EpochText {
			epoch = true
			continue
		}
		if err := s.add(item); err != nil {
			return Start{}, err
		}
	}
	switch {
	case epoch:
		return Start{Kind: Epoch}, nil
	case len(s.List) > 0:
		s.Kind = List
	case !s.Time.IsZero():
		s.Kind = Timestamp
	default:
		s.Kind = Now
	}
	return s, nil
}

// add takes one item other than "0" into s.
func (s *Start) add(item []byte) error {
	if isTime(item) {
		t, err := ParseTime(item)
		if err != nil {
			return err
		}
		if t.Before(oldest) {
			t = oldest
		}
		if s.Time.IsZero() || t.Before(s.Time) {
			s.Time = t
		}
		return nil
	}
	b, err := Parse(item)
	if err != nil {
		return err
	}
	if b != (Bookmark{0, 1}) {
		s.List = append(s.List, b)
	}
	return nil
}

// AppendText appends the text that ParseStart reads as s.
func (s Start) AppendText(dst []byte) []byte {
	switch s.Kind {
	case Epoch:
		return append(dst, EpochText...)
	case Now:
		return append(dst, NowText...)
	}
	for i, b := range s.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = b.AppendText(dst)
	}
	if !s.Time.IsZero() {
		if len(s.List) > 0 {
			dst = append(dst, ',')
		}
		dst = AppendTime(dst, s.Time)
	}
	return dst
}

// String returns the text of AppendText.
func (s Start) String() string { return string(s.AppendText(nil)) }
