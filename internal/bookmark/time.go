package bookmark

import "time"

const secondsLayout = "20060102T150405" // the required part of a time

// The first and last time whose year has four digits, in microseconds since the Unix epoch.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastTime  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

// AppendTime appends t in UTC as YYYYMMDDTHHMMSS.ffffffZ. A time whose year does not have
// four digits becomes the nearest time whose year does. AppendTime is several times as fast
// as [time.Time.AppendFormat].
func AppendTime(dst []byte, t time.Time) []byte {
	t = time.UnixMicro(min(max(t.UnixMicro(), firstTime), lastTime)).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	fraction := t.Nanosecond() / 1000
	dst = appendPair(appendPair(dst, year/100), year%100)
	dst = append(appendPair(appendPair(dst, int(month)), day), 'T')
	dst = append(appendPair(appendPair(appendPair(dst, hour), minute), second), '.')
	return append(appendPair(appendPair(appendPair(dst, fraction/10_000), fraction/100%100), fraction%100), 'Z')
}

// appendPair appends two digits.
func appendPair(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// isTime distinguishes a time from a bookmark, which also begins with digits.
func isTime(text []byte) bool { return len(text) > 8 && text[8] == 'T' }

// ParseTime parses YYYYMMDDTHHMMSS with an optional fraction and an optional Z. The time is
// always UTC; another zone is a *SyntaxError. ParseTime does not allocate.
func ParseTime(text []byte) (time.Time, error) {
	if len(text) < len(secondsLayout) || !isTime(text) {
		return time.Time{}, syntaxError(text, "not a time of the form "+secondsLayout)
	}
	year, month, day := digits(text[0:4]), digits(text[4:6]), digits(text[6:8])
	hour, minute, second := digits(text[9:11]), digits(text[11:13]), digits(text[13:15])
	nanos, ok := parseFraction(text[15:])
	if !ok || min(year, month, day, hour, minute, second) < 0 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, syntaxError(text, "not a time of the form "+secondsLayout)
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day || int(t.Month()) != month || t.Year() != year {
		return time.Time{}, syntaxError(text, "no such day")
	}
	return t, nil
}

// parseFraction parses the text after the seconds: ".f…", "Z", both or neither. Digits
// beyond nanoseconds are dropped.
func parseFraction(text []byte) (nanos int, ok bool) {
	if n := len(text); n > 0 && text[n-1] == 'Z' {
		text = text[:n-1]
	}
	if len(text) == 0 {
		return 0, true
	}
	if text[0] != '.' || len(text) == 1 {
		return 0, false
	}
	scale := int(time.Second)
	for _, c := range text[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		scale /= 10
		nanos += int(c-'0') * scale
	}
	return nanos, true
}

// digits returns the number that text spells, or -1.
func digits(text []byte) int {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
