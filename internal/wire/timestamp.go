package wire

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

const microsPerDay = 24 * 3600 * 1_000_000

// The years that have four digits.
var (
	firstTimestamp = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastTimestamp  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

// AppendTimestamp appends a time in microseconds since the Unix epoch as
// YYYYMMDDTHHMMSS.ffffffZ, always UTC. What has no year of four digits becomes
// the nearest that has.
func AppendTimestamp(dst []byte, micros int64) []byte {
	micros = min(max(micros, firstTimestamp), lastTimestamp)
	days := micros / microsPerDay
	rest := micros % microsPerDay
	if rest < 0 {
		days--
		rest += microsPerDay
	}
	year, month, day := civil(days)
	seconds := rest / 1_000_000
	dst = appendPair(appendPair(dst, year/100), year%100)
	dst = appendPair(appendPair(dst, month), day)
	dst = append(dst, 'T')
	dst = appendPair(dst, seconds/3600)
	dst = appendPair(dst, seconds/60%60)
	dst = appendPair(dst, seconds%60)
	dst = append(dst, '.')
	fraction := rest % 1_000_000
	dst = appendPair(dst, fraction/10_000)
	dst = appendPair(dst, fraction/100%100)
	dst = appendPair(dst, fraction%100)
	return append(dst, 'Z')
}

// ParseTimestamp is the reverse of AppendTimestamp. The fraction and the Z may
// be missing.
func ParseTimestamp(text []byte) (micros int64, err error) {
	t, err := bookmark.ParseTime(text)
	if err != nil {
		return 0, err
	}
	return t.UnixMicro(), nil
}

// civil returns the date of a day counted from the Unix epoch. It counts in
// years that begin in March, so that a leap day is the last of its year.
func civil(days int64) (year, month, day int64) {
	const daysPerEra = 146097       // 400 years
	days += 719468 + 400*daysPerEra // from March of year -160000, so that it is positive
	era, dayOfEra := days/daysPerEra, days%daysPerEra
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153 // 0 is March
	year = yearOfEra + (era-400)*400
	month = shifted + 3
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, dayOfYear - (153*shifted+2)/5 + 1
}

// appendPair appends two digits.
func appendPair(dst []byte, n int64) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}
