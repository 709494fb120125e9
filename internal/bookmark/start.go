package bookmark

import (
	"bytes"
	"time"
)

// A StartKind is a kind of start of a subscription.
type StartKind uint8

// The kinds. "Most recent" is not one of them: a client resolves it before it subscribes.
const (
	Epoch     StartKind = iota // the start of the log
	Now                        // the end of the log at the first subscribe
	List                       // after the listed bookmark that is earliest in the log; for a vector, see R9
	Timestamp                  // after a time
)

// The protocol's texts for the kinds that have no value of their own.
const (
	EpochText = "0"
	NowText   = "0|1|"

	// ResumeText is a list that covers no message. It stands for a place that has received
	// nothing. EpochText would begin a new place, after the messages that retention has
	// removed.
	ResumeText = "0|0|"
)

// oldest is the earliest time of a Start: no log is older. An earlier time becomes oldest,
// so that a requested time is never the zero Time.
var oldest = time.Unix(0, 0).UTC()

// A Start is the point where a bookmark subscription begins.
type Start struct {
	Kind StartKind
	List []Bookmark // of kind List, never empty
	Time time.Time  // of kind Timestamp; of kind List the earliest time in the list, or zero
}

// ParseStart parses the bm field of a subscription: "0", "0|1|", bookmarks, times, and
// lists of these. In a list the earliest entry counts; in a vector the highest bookmark of
// each publisher counts (R9). "0" anywhere in the list makes it an Epoch. "0|1|" has no
// effect next to another entry. The error is ErrRange for a range, otherwise a
// *SyntaxError.
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

// add adds an item other than "0" to s.
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

// AppendText appends the text that ParseStart parses as s.
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
